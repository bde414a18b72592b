//! The certifier decides as the slow one does, on random histories, and those histories hold everything that can happen.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::history::{actions, play};
use super::log::Log;
use super::reference::{Reference, Sabotage};
use super::{Seen, small_certifier};

/// Runs both over a log; the first difference, if there is one.
pub(super) fn difference(log: &Log, sabotage: Sabotage) -> Option<String> {
    let mut certifier = small_certifier();
    let mut reference = Reference::new(sabotage);
    for (message, sent) in &log.messages {
        let expected = reference.apply(message.timestamp_us, sent);
        let seen = match certifier.apply(message.clone()) {
            Ok(applied) => Seen::of(&applied),
            Err(broken) => return Some(format!("position {}: {broken}", message.position)),
        };
        let state = certifier.state();
        let ours = (state.clock.time_us, state.stamp, state.epoch, state.primary.clone(), state.horizon, state.junk);
        let primary = reference.primary.clone();
        let (log_time_us, stamp, epoch) = (reference.log_time_us, reference.stamp, reference.epoch);
        let theirs = (log_time_us, stamp, epoch, primary, reference.horizon, reference.junk);
        if seen != expected || ours != theirs {
            let position = message.position;
            return Some(format!("position {position}: {seen:?} but should be {expected:?}; {ours:?}, {theirs:?}"));
        }
        certifier.validate().unwrap();
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn decides_as_the_slow_one_does(actions in actions()) {
        prop_assert_eq!(difference(&play(&actions), Sabotage::None), None);
    }
}

/// A fixed set of histories.
pub(super) fn histories(count: usize) -> impl Iterator<Item = Log> {
    let mut runner = TestRunner::deterministic();
    let strategy = actions();
    (0..count).map(move |_| play(&strategy.new_tree(&mut runner).unwrap().current()))
}

#[test]
fn histories_hold_everything_that_can_happen() {
    let mut found = BTreeSet::new();
    for log in histories(400) {
        let mut certifier = small_certifier();
        for (message, _) in &log.messages {
            match Seen::of(&certifier.apply(message.clone()).unwrap()) {
                Seen::Batch(decisions) => found.extend(decisions.iter().map(|(verdict, _)| name_of(verdict))),
                other => drop(found.insert(format!("{other:?}"))),
            }
        }
    }
    let expected = [
        "Accepted",
        "Collected",
        "Conflict Locked",
        "Conflict Range",
        "Conflict Read",
        "Conflict Written",
        "Control { effective: false }",
        "Control { effective: true }",
        "Duplicate",
        "ReadsUnknown",
        "TooOld",
        "Void(BaseTooOld)",
        "Void(Foreign)",
        "Void(Incomplete)",
        "Void(Malformed)",
        "Void(NotPrimary)",
        "Void(OtherLog)",
        "Void(Superseded)",
        "Void(TooLarge)",
    ];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

fn name_of(verdict: &crate::model::Verdict) -> String {
    use crate::model::Verdict;
    match verdict {
        Verdict::Conflict { cause, .. } => format!("Conflict {cause:?}"),
        Verdict::TooOld { .. } => "TooOld".to_owned(),
        Verdict::Duplicate(_) => "Duplicate".to_owned(),
        other => format!("{other:?}"),
    }
}
