//! Requests to move a task, case by case.

use super::super::fixture::{SETTLED_MS, at, beat, settled, silent, verdict};
use super::*;
use holdfast_schemas::message::{CspState, GroupDefinition, Heartbeat, Replication};

fn ask(task: &str, csp: Option<&str>) -> AssignmentMoveRequest {
    AssignmentMoveRequest { task: task.to_owned(), csp: csp.map(str::to_owned) }
}

fn refused(assigner: &Assigner, request: &AssignmentMoveRequest) -> ErrorCode {
    assigner.asked(request, at(SETTLED_MS)).unwrap_err().code()
}

#[test]
fn a_healthy_holder_gives_way_to_the_one_that_is_asked_for() {
    let assigner = settled(&["a", "b", "c"], Vec::new());
    for (named, given) in [(Some("c"), "c"), (None, "b")] {
        match assigner.asked(&ask(TASK_REPLICATION, named), at(SETTLED_MS)) {
            Ok(Asked::Write(write)) => {
                assert_eq!((write.assignment.csp.as_deref(), write.assignment.epoch), (Some(given), 2));
                assert_eq!((write.assignment.cause.as_str(), write.previous.as_deref()), ("asked for", Some("a")));
                assert!(write.announce);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_holds_it_already_has_it() {
    let assigner = settled(&["a", "b"], Vec::new());
    let asked = assigner.asked(&ask(TASK_REPLICATION, Some("a")), at(SETTLED_MS));
    assert!(matches!(asked, Ok(Asked::Held(assignment)) if assignment.epoch == 1));
}

#[test]
fn what_cannot_be_is_refused_by_code() {
    let mut assigner = settled(&["a", "b", "c"], Vec::new());
    assert_eq!(refused(&assigner, &ask("nonsense", None)), ErrorCode::NotFound);
    assert_eq!(refused(&assigner, &ask(TASK_REPLICATION, Some("stranger"))), ErrorCode::NotFound);
    assigner.judge(&verdict("b", CspState::Suspect, None), SETTLED_MS);
    assert_eq!(refused(&assigner, &ask(TASK_REPLICATION, Some("b"))), ErrorCode::Unavailable);
    assigner.heartbeat(&Heartbeat { state: CspState::Draining, ..beat("c", 1, "a") }, SETTLED_MS);
    assert_eq!(refused(&assigner, &ask(TASK_REPLICATION, Some("c"))), ErrorCode::Unavailable);
    assert_eq!(refused(&assigner, &ask(TASK_REPLICATION, None)), ErrorCode::Unavailable);
    let Some(standing) = assigner.ledger.assignment(TASK_REPLICATION).cloned() else { panic!("nothing on record") };
    assigner.writing(&standing);
    assert_eq!(refused(&assigner, &ask(TASK_REPLICATION, None)), ErrorCode::Conflict);
    let silent = silent(&["a", "b"], Vec::new());
    assert_eq!(refused(&silent, &ask(TASK_REPLICATION, None)), ErrorCode::Unavailable);
}

#[test]
fn a_peer_group_has_nothing_to_move() {
    let mut assigner = silent(&["a", "b"], Vec::new());
    let mut definition = GroupDefinition::new("g", ["a", "b"]);
    definition.replication = Replication::Peer;
    assigner.define(definition);
    assert_eq!(refused(&assigner, &ask(TASK_REPLICATION, None)), ErrorCode::Unsupported);
}
