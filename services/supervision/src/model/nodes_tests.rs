//! Nodes against stories, and against random ends of CSPs.

use super::*;
use proptest::prelude::*;

const POLICY: Policy = Policy { window_ms: 500, agent_lost_ms: 500 };

fn key(csp: &str) -> CspKey {
    CspKey { group: "g".to_owned(), csp: csp.to_owned() }
}

fn there(csp: &str, signed_at_ms: u64) -> Resident {
    Resident { key: key(csp), unavailable_since_ms: None, signed_at_ms: Some(signed_at_ms) }
}

fn gone(csp: &str, since_ms: u64) -> Resident {
    Resident { key: key(csp), unavailable_since_ms: Some(since_ms), signed_at_ms: Some(0) }
}

#[test]
fn all_together_are_the_node() {
    let mut nodes = Nodes::new(POLICY);
    assert!(nodes.condemned("n", &key("a"), &[gone("a", 1_000), there("b", 900)], 1_000));
    assert_eq!(nodes.settle("n", &[gone("a", 1_000), there("b", 900)], 1_000), None);
    let both = [gone("a", 1_000), gone("b", 1_100)];
    assert!(nodes.condemned("n", &key("b"), &both, 1_100));
    assert_eq!(nodes.settle("n", &both, 1_100), Some(Outcome::Gone(vec![key("a"), key("b")])));
    assert_eq!(nodes.settle("n", &both, 9_000), None, "told once");
    let back = [gone("a", 1_000), there("b", 9_100)];
    let told = Outcome::Back { csps: vec![key("a"), key("b")], cause: "a CSP of it reports again" };
    assert_eq!(nodes.settle("n", &back, 9_100), Some(told));
    assert_eq!(nodes.open(), Vec::<String>::new());
}

#[test]
fn a_neighbour_that_lives_shows_that_it_is_not_the_node() {
    let mut nodes = Nodes::new(POLICY);
    nodes.condemned("n", &key("a"), &[gone("a", 1_000), there("b", 900)], 1_000);
    let told = nodes.settle("n", &[gone("a", 1_000), there("b", 1_010)], 1_010);
    assert_eq!(told, Some(Outcome::Csps(vec![key("a")])));
}

#[test]
fn one_that_was_gone_before_is_not_together_with_it() {
    let mut nodes = Nodes::new(POLICY);
    let both = [gone("a", 1_000), gone("b", 90_000)];
    assert!(nodes.condemned("n", &key("b"), &both, 90_000));
    assert_eq!(nodes.settle("n", &both, 90_000), Some(Outcome::Csps(vec![key("b")])));
}

#[test]
fn the_agent_has_the_last_word() {
    let both = [gone("a", 1_000), gone("b", 1_000)];
    let mut nodes = Nodes::new(POLICY);
    nodes.alive("n", 990);
    nodes.condemned("n", &key("a"), &both, 1_000);
    nodes.condemned("n", &key("b"), &both, 1_000);
    assert_eq!(nodes.settle("n", &both, 1_400), None, "it may still speak");
    nodes.alive("n", 1_450);
    assert_eq!(nodes.settle("n", &both, 1_450), Some(Outcome::Csps(vec![key("a"), key("b")])));
}

#[test]
fn a_single_csp_and_a_silent_agent_are_the_node() {
    let alone = [gone("a", 1_000)];
    let mut nodes = Nodes::new(POLICY);
    assert!(!nodes.condemned("n", &key("a"), &alone, 1_000), "without an agent nobody can tell");
    nodes.alive("n", 990);
    assert!(nodes.condemned("n", &key("a"), &alone, 1_000));
    assert_eq!(nodes.settle("n", &alone, 1_489), None);
    assert_eq!(nodes.settle("n", &alone, 1_490), Some(Outcome::Gone(vec![key("a")])));
    nodes.alive("n", 5_000);
    let told = Outcome::Back { csps: vec![key("a")], cause: "its agent speaks again" };
    assert_eq!(nodes.settle("n", &alone, 5_000), Some(told));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Every verdict is told exactly once, as its own or with its node, and in bounded time; a node only if all its CSPs are
    /// gone.
    #[test]
    fn every_verdict_is_told_once_and_soon(ends in prop::collection::vec((0u64..2_000, any::<bool>()), 2..6)) {
        let mut nodes = Nodes::new(POLICY);
        let names: Vec<_> = (0..ends.len()).map(|number| number.to_string()).collect();
        let mut waiting = BTreeMap::new();
        let mut told = BTreeSet::new();
        for now in (0..4_000).step_by(50) {
            let residents: Vec<_> = names.iter().zip(&ends).map(|(name, (end, dies))| {
                if *dies && *end <= now { gone(name, *end) } else { there(name, now) }
            }).collect();
            for (name, (end, dies)) in names.iter().zip(&ends) {
                if *dies && (now..now + 50).contains(&(end + 49)) {
                    prop_assert!(nodes.condemned("n", &key(name), &residents, now));
                    waiting.insert(key(name), now);
                }
            }
            let keys = match nodes.settle("n", &residents, now) {
                Some(Outcome::Csps(keys)) => keys,
                Some(Outcome::Gone(keys)) => {
                    prop_assert!(residents.iter().all(|resident| resident.unavailable_since_ms.is_some()));
                    keys
                }
                Some(Outcome::Back { .. }) | None => Vec::new(),
            };
            for key in keys {
                prop_assert!(waiting.remove(&key).is_some());
                prop_assert!(told.insert(key));
            }
            prop_assert!(waiting.values().all(|since| now - since <= POLICY.window_ms + 50));
        }
        prop_assert_eq!(told.len(), ends.iter().filter(|(_, dies)| *dies).count());
    }
}
