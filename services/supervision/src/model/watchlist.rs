//! One detector for every CSP of every defined group.
//!
//! Definitions say who is watched. A CSP that leaves the definitions is forgotten; one that stays keeps what is known of it.

use super::detector::{Detector, Effect, Policy, StatusOutcome};
use super::table::Belief;
use holdfast_schemas::message::CspState;
use std::collections::BTreeMap;

/// The cause of a state that is said again.
const REASSERTED: &str = "reported by the CSP";

/// A CSP by its full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CspKey {
    /// The group.
    pub group: String,
    /// The CSP in it.
    pub csp: String,
}

/// What to do, and about whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// About whom.
    pub key: CspKey,
    /// What.
    pub effect: Effect,
}

/// All CSPs that are watched.
#[derive(Debug)]
pub struct Watchlist {
    policy: Policy,
    detectors: BTreeMap<CspKey, Detector>,
}

impl Watchlist {
    /// Watches nobody yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, detectors: BTreeMap::new() }
    }

    /// A group has these CSPs; none if it is gone.
    pub fn define(&mut self, group: &str, csps: &[String], now_ms: u64) {
        self.detectors.retain(|key, _| key.group != group || csps.contains(&key.csp));
        for csp in csps {
            let key = CspKey { group: group.to_owned(), csp: csp.clone() };
            self.detectors.entry(key).or_insert_with(|| Detector::new(self.policy, now_ms));
        }
    }

    /// A heartbeat came; of a CSP that nobody defined it means nothing.
    pub fn heartbeat(&mut self, key: &CspKey, state: CspState, now_ms: u64) -> Vec<Task> {
        let effects = self.detectors.get_mut(key).map(|detector| detector.heartbeat(state, now_ms));
        tasks(key, effects.unwrap_or_default())
    }

    /// A status request ended.
    pub fn status(&mut self, key: &CspKey, question: u64, outcome: StatusOutcome, now_ms: u64) -> Vec<Task> {
        let effects = self.detectors.get_mut(key).map(|detector| detector.status(question, outcome, now_ms));
        tasks(key, effects.unwrap_or_default())
    }

    /// Time passes for everybody.
    pub fn tick(&mut self, connected: bool, now_ms: u64) -> Vec<Task> {
        self.detectors.iter_mut().flat_map(|(key, detector)| tasks(key, detector.tick(connected, now_ms))).collect()
    }

    /// Says again what those report who report. What somebody else wrote by mistake, and did not live to correct, is put right
    /// by this; silence is no evidence to insist on.
    pub fn reassert(&self) -> Vec<Task> {
        let reporting = self.detectors.iter().filter(|(_, detector)| detector.belief() == Belief::Reporting);
        reporting
            .filter_map(|(key, detector)| Some((key, detector.state()?)))
            .map(|(key, state)| Task { key: key.clone(), effect: Effect::Changed { state, cause: REASSERTED } })
            .collect()
    }

    /// How many CSPs are watched.
    pub fn len(&self) -> usize {
        self.detectors.len()
    }

    /// Whether nobody is watched.
    pub fn is_empty(&self) -> bool {
        self.detectors.is_empty()
    }
}

fn tasks(key: &CspKey, effects: Vec<Effect>) -> Vec<Task> {
    effects.into_iter().map(|effect| Task { key: key.clone(), effect }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { suspect_after_ms: 750, status_attempts: 1, blind_after_ms: 1_000 };

    fn key(csp: &str) -> CspKey {
        CspKey { group: "g".to_owned(), csp: csp.to_owned() }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn strangers_and_leavers_are_not_watched() {
        let mut list = Watchlist::new(POLICY);
        assert_eq!(list.heartbeat(&key("a"), CspState::Available, 0), []);
        list.define("g", &names(&["a", "b"]), 0);
        assert_eq!(list.heartbeat(&key("a"), CspState::Available, 0).len(), 1);
        list.define("g", &names(&["b"]), 1);
        assert_eq!(list.len(), 1);
        assert_eq!(list.heartbeat(&key("a"), CspState::Draining, 2), []);
        list.define("g", &[], 3);
        assert!(list.is_empty());
    }

    #[test]
    fn defining_again_keeps_what_is_known() {
        let mut list = Watchlist::new(POLICY);
        list.define("g", &names(&["a"]), 0);
        list.heartbeat(&key("a"), CspState::Available, 0);
        list.define("g", &names(&["a", "b"]), 1);
        assert_eq!(list.heartbeat(&key("a"), CspState::Available, 2), [], "no change is reported");
    }

    #[test]
    fn only_those_who_report_are_reasserted() {
        let mut list = Watchlist::new(POLICY);
        list.define("g", &names(&["a", "b"]), 0);
        list.heartbeat(&key("a"), CspState::Available, 700);
        list.tick(true, 800);
        let about: Vec<_> = list.reassert().into_iter().map(|task| task.key.csp).collect();
        assert_eq!(about, ["a"]);
    }

    #[test]
    fn each_is_judged_by_its_own_silence() {
        let mut list = Watchlist::new(POLICY);
        list.define("g", &names(&["a", "b"]), 0);
        list.heartbeat(&key("a"), CspState::Available, 0);
        list.tick(true, 500);
        list.heartbeat(&key("b"), CspState::Available, 700);
        let about: Vec<_> = list.tick(true, 800).into_iter().map(|task| task.key.csp).collect();
        assert_eq!(about, ["a", "a"]);
    }
}
