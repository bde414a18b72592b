//! A group for tests, and its events in short.

use super::Policy;
use super::assigner::{Assigner, Effect, Now, Write};
use holdfast_schemas::message::{
    CspState, CspStateChange, Doubt, GroupDefinition, Heartbeat, TASK_REPLICATION, TaskDefinition,
};

pub const POLICY: Policy = Policy {
    fresh_ms: 300,
    in_step_ms: 100,
    lag_ms_max: 2_000,
    settle_ms: 1_000,
    gray_rest_ms: 1_000,
    catch_up_ms_max: 500,
};

/// Late enough that whoever was there from the start has settled.
pub const SETTLED_MS: u64 = 10_000;

pub fn beat(csp: &str, epoch: u64, primary: &str) -> Heartbeat {
    Heartbeat {
        group: "g".to_owned(),
        csp: csp.to_owned(),
        node: format!("node-of-{csp}"),
        incarnation: "first".to_owned(),
        state: CspState::Available,
        applied: 10,
        log_end: None,
        epoch,
        primary: Some(primary.to_owned()),
        outstanding: 0,
        at_ms: 0,
        stuck_ms: None,
        unheard_ms: None,
        storage_error: None,
        query_us: None,
        update_us: None,
        connects: None,
        updates_refused: None,
        clock_ms: None,
        clock_ahead_ms: None,
    }
}

pub fn verdict(csp: &str, state: CspState, incarnation: Option<&str>) -> CspStateChange {
    CspStateChange {
        group: "g".to_owned(),
        csp: csp.to_owned(),
        state,
        since_ms: 0,
        cause: String::new(),
        doubt: None,
        deserted: false,
        incarnation: incarnation.map(str::to_owned),
        evidence: Vec::new(),
        concurring: Vec::new(),
    }
}

/// The process answers, and does not do its work.
pub fn gray(csp: &str, incarnation: &str) -> CspStateChange {
    let cause = "gray: a message of the log has waited for 2001 ms".to_owned();
    CspStateChange { cause, doubt: Some(Doubt::Gray), ..verdict(csp, CspState::Suspect, Some(incarnation)) }
}

pub fn at(ms: u64) -> Now {
    Now { monotonic_ms: ms, wall_ms: ms }
}

/// A group of these CSPs and tasks, of which nothing was heard.
pub fn silent(csps: &[&str], tasks: Vec<TaskDefinition>) -> Assigner {
    let mut assigner = Assigner::new("g".to_owned(), POLICY);
    let mut definition = GroupDefinition::new("g", csps.iter().copied());
    definition.tasks = tasks;
    (definition.supervision.heartbeat_interval_ms, definition.supervision.heartbeats_missed) = (100, 3);
    assigner.define(definition);
    assigner
}

/// The same, settled, with the first CSP as primary of epoch 1, and on record.
pub fn settled(csps: &[&str], tasks: Vec<TaskDefinition>) -> Assigner {
    let mut assigner = silent(csps, tasks);
    for now_ms in (0..=SETTLED_MS).step_by(200) {
        all_beat(&mut assigner, csps, 1, csps[0], now_ms);
    }
    let mut revision = 0;
    for write in writes(assigner.decide(at(SETTLED_MS))) {
        revision += 1;
        assigner.written(write.assignment, revision);
    }
    assert_eq!(assigner.decide(at(SETTLED_MS)), Vec::new());
    assigner
}

pub fn all_beat(assigner: &mut Assigner, csps: &[&str], epoch: u64, primary: &str, now_ms: u64) {
    for csp in csps {
        assigner.heartbeat(&beat(csp, epoch, primary), now_ms);
    }
}

pub fn writes(effects: Vec<Effect>) -> Vec<Write> {
    effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Write(write) => Some(write),
            Effect::Announce(_) => None,
        })
        .collect()
}

/// The only write among the effects.
pub fn only(effects: Vec<Effect>) -> Write {
    let mut writes = writes(effects);
    assert_eq!(writes.len(), 1, "{writes:?}");
    writes.remove(0)
}

/// Who is given the task of being primary, and under which epoch.
pub fn primary(effects: Vec<Effect>) -> Option<(String, u64)> {
    let write = writes(effects).into_iter().find(|write| write.assignment.task == TASK_REPLICATION)?;
    Some((write.assignment.csp.unwrap(), write.assignment.epoch))
}
