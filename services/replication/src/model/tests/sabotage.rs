//! Would the comparison notice a broken rule? Each rule is broken once, in the slow certifier, and must be missed.

use super::compare::{difference, histories};
use super::log::Log;
use super::reference::Sabotage;

#[test]
fn every_broken_rule_is_noticed() {
    let logs: Vec<Log> = histories(1_500).collect();
    let rules = [
        Sabotage::BlindWrites,
        Sabotage::LockedKeys,
        Sabotage::ReadKeys,
        Sabotage::Ranges,
        Sabotage::SameEntry,
        Sabotage::StampedKeys,
        Sabotage::Isolation,
        Sabotage::Horizon,
        Sabotage::HorizonInsideParts,
        Sabotage::BaseTooOld,
        Sabotage::Numbers,
        Sabotage::Incarnations,
        Sabotage::Epochs,
        Sabotage::Primaries,
        Sabotage::Ids,
        Sabotage::IdsOfRefused,
        Sabotage::IdExpiry,
        Sabotage::IdCount,
        Sabotage::LogTime,
        Sabotage::Stamps,
        Sabotage::PartOrder,
        Sabotage::EntryWrites,
        Sabotage::Junk,
        Sabotage::OtherLog,
    ];
    let noticed = |rule: &Sabotage| logs.iter().any(|log| difference(log, *rule).is_some());
    let missed: Vec<_> = rules.iter().filter(|rule| !noticed(rule)).collect();
    assert!(missed.is_empty(), "nobody noticed that these rules were broken: {missed:?}");
}
