//! How a group is, put together from what could be learnt.
//!
//! Three witnesses: the CSP itself, if it answered; the supervised state, if it did not; and the log's own numbers. What
//! nobody knows is left out, or zero where the contract wants a number, together with a state that says so.

use holdfast_schemas::message::{CspState, CspView, GroupDefinition, GroupStatusReply, LogView, StatusReply};

/// What is known of one CSP.
#[derive(Debug, Default)]
pub struct Witness {
    /// What it answered.
    pub answer: Option<StatusReply>,
    /// What supervision last wrote.
    pub supervised: Option<CspState>,
}

/// Puts the status together; `witnesses` are in the order of the definition.
pub fn compose(definition: GroupDefinition, witnesses: Vec<Witness>, log: LogView, now_ms: u64) -> GroupStatusReply {
    let primary = primary(&witnesses);
    let csps = definition
        .csps
        .iter()
        .zip(witnesses)
        .map(|(csp, witness)| csp_status(csp, witness, primary.as_deref() == Some(csp.as_str()), log.last, now_ms))
        .collect();
    GroupStatusReply { definition, csps, log }
}

/// The primary that the highest epoch names, as execution decides it.
fn primary(witnesses: &[Witness]) -> Option<String> {
    let answers = witnesses.iter().filter_map(|witness| witness.answer.as_ref());
    answers.max_by_key(|answer| answer.heartbeat.epoch).and_then(|answer| answer.heartbeat.primary.clone())
}

fn csp_status(csp: &str, witness: Witness, primary: bool, log_end: u64, now_ms: u64) -> CspView {
    match witness.answer {
        Some(answer) => CspView {
            csp: csp.to_owned(),
            state: answer.heartbeat.state,
            applied: answer.heartbeat.applied,
            lag: log_end.saturating_sub(answer.heartbeat.applied),
            epoch: answer.heartbeat.epoch,
            address: None,
            node: Some(answer.heartbeat.node),
            primary,
            last_heartbeat_ms_ago: Some(now_ms.saturating_sub(answer.heartbeat.at_ms)),
        },
        None => CspView {
            csp: csp.to_owned(),
            state: silent_state(witness.supervised),
            applied: 0,
            lag: log_end,
            epoch: 0,
            address: None,
            node: None,
            primary,
            last_heartbeat_ms_ago: None,
        },
    }
}

/// The state of a CSP that does not answer. Supervision may not have noticed yet: what it last heard is then no longer true.
fn silent_state(supervised: Option<CspState>) -> CspState {
    match supervised {
        Some(state @ (CspState::Unavailable | CspState::Maintenance | CspState::Quarantined | CspState::Removed)) => state,
        Some(_) => CspState::Suspect,
        None => CspState::Unavailable,
    }
}
