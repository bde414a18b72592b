//! Who is chosen, wish by wish: of two that differ in one respect, the better one.

use super::super::assigner::Assigner;
use super::super::fixture::{SETTLED_MS, beat, settled};
use super::*;
use holdfast_schemas::message::{CspState, Heartbeat, TASK_REPLICATION};

fn chosen(assigner: &Assigner, task: &str) -> Option<String> {
    let task = assigner.group.task(task).unwrap();
    best(&assigner.group, &assigner.ledger, task, Some("a"), SETTLED_MS).map(str::to_owned)
}

fn primary(assigner: &Assigner) -> Option<String> {
    chosen(assigner, TASK_REPLICATION)
}

#[test]
fn of_equals_the_least_name_and_never_the_one_that_is_excepted() {
    assert_eq!(primary(&settled(&["a", "b", "c"], Vec::new())).as_deref(), Some("b"));
    assert_eq!(primary(&settled(&["a"], Vec::new())), None);
}

#[test]
fn only_the_fit() {
    let mut assigner = settled(&["a", "b", "c"], Vec::new());
    assigner.heartbeat(&Heartbeat { state: CspState::CatchingUp, ..beat("b", 1, "a") }, SETTLED_MS);
    assert_eq!(primary(&assigner).as_deref(), Some("c"));
    assigner.heartbeat(&Heartbeat { state: CspState::Draining, ..beat("c", 1, "a") }, SETTLED_MS);
    assert_eq!(primary(&assigner), None);
}

#[test]
fn the_farthest_then_the_least_loaded() {
    let mut assigner = settled(&["a", "b", "c"], Vec::new());
    assigner.heartbeat(&Heartbeat { outstanding: 9, ..beat("b", 1, "a") }, SETTLED_MS);
    assert_eq!(primary(&assigner).as_deref(), Some("c"));
    assigner.heartbeat(&Heartbeat { outstanding: 9, applied: 11, ..beat("b", 1, "a") }, SETTLED_MS);
    assert_eq!(primary(&assigner).as_deref(), Some("b"));
}

#[test]
fn one_that_has_just_come_is_chosen_if_there_is_no_other() {
    let mut assigner = settled(&["a", "b", "c"], Vec::new());
    assigner.heartbeat(&Heartbeat { incarnation: "second".to_owned(), ..beat("b", 1, "a") }, SETTLED_MS);
    assert_eq!(primary(&assigner).as_deref(), Some("c"));
    assigner.heartbeat(&Heartbeat { state: CspState::Draining, ..beat("c", 1, "a") }, SETTLED_MS);
    assert_eq!(primary(&assigner).as_deref(), Some("b"));
}

#[test]
fn preferred_nodes_come_before_load() {
    let mut wishes = TaskDefinition::new(TASK_REPLICATION);
    wishes.prefer_nodes = vec!["node-of-c".to_owned()];
    let mut assigner = settled(&["a", "b", "c"], vec![wishes]);
    assigner.heartbeat(&Heartbeat { outstanding: 9, ..beat("c", 1, "a") }, SETTLED_MS);
    assert_eq!(primary(&assigner).as_deref(), Some("c"));
}

#[test]
fn tasks_are_spread_and_kept_apart() {
    let mut report = TaskDefinition::new("report");
    report.keep_apart_from = vec!["billing".to_owned()];
    let tasks = vec![TaskDefinition::new("billing"), report];
    let mut assigner = settled(&["a", "b", "c"], tasks);
    let holders = ["replication", "billing", "report"].map(|task| assigner.ledger.holder(task).unwrap().to_owned());
    assert_eq!(holders, ["a", "b", "c"], "also when all are assigned at the same moment");
    assert_eq!(chosen(&assigner, "report").as_deref(), Some("c"));
    // Being apart from billing, which is on b, comes before having few tasks.
    for csp in ["b", "c"] {
        assigner.heartbeat(&Heartbeat { node: "shared".to_owned(), ..beat(csp, 1, "a") }, SETTLED_MS);
    }
    let report = assigner.group.task("report").unwrap();
    assert_eq!(best(&assigner.group, &assigner.ledger, report, None, SETTLED_MS), Some("a"));
}
