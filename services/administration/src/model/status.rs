//! How a group is, put together from what could be learnt.
//!
//! Three witnesses: the CSP itself, if it answered; the supervised state, if it did not; and the log's own numbers. What
//! nobody knows is left out, or zero where the contract wants a number, together with a state that says so.

use holdfast_schemas::message::administration::{CspStatus, GroupDefinition, GroupStatusReply, LogStatus};
use holdfast_schemas::message::replication::{CspState, StatusReply};

/// What is known of one CSP.
#[derive(Debug, Default)]
pub struct Witness {
    /// What it answered.
    pub answer: Option<StatusReply>,
    /// What supervision last wrote.
    pub supervised: Option<CspState>,
}

/// Puts the status together; `witnesses` are in the order of the definition.
pub fn compose(definition: GroupDefinition, witnesses: Vec<Witness>, log: LogStatus, now_ms: u64) -> GroupStatusReply {
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
    answers.max_by_key(|answer| answer.epoch).and_then(|answer| answer.primary.clone())
}
