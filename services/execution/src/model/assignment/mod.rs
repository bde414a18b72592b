//! Who holds which task: decided here, written and told by `crate::assignment`.
//!
//! Three sources, and how far each is believed. *Heartbeats* say how a CSP is, and which epoch and primary its copy has read
//! from the log. *Supervision* says what a CSP cannot say itself: that it is suspect, or gone. The *assignments bucket* says
//! who was given which task; every change of it is a compare-and-set, so whoever decides by an old picture loses the race
//! and harms nobody.
//!
//! | file | decides |
//! |---|---|
//! | `electorate` | which instance of execution assigns |
//! | `candidate` | is this CSP gone, or fit for a task |
//! | `group` | what is known of a group's CSPs, and what its log says |
//! | `ledger` | what the bucket holds, and under which revision |
//! | `choose` | which CSP gets a task |
//! | `assigner` | what to write and to announce, for one group |
//! | `rests` | how soon a task may move again because its holder is gray |
//! | `request` | whether a task may be moved because somebody asks for it |

pub mod assigner;
pub mod candidate;
pub mod choose;
pub mod electorate;
pub mod group;
pub mod ledger;
pub mod request;
pub mod rests;

use holdfast_schemas::message::SupervisionPolicy;

/// What assignment goes by, besides what it knows.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// A CSP that was silent for longer gets no task.
    pub fresh_ms: u64,
    /// A CSP whose copy is this late at most keeps step: heartbeats tell no finer.
    pub in_step_ms: u64,
    /// A CSP whose copy is later gets no task.
    pub lag_ms_max: u64,
    /// A CSP that has been available for less gets a task only if there is no other.
    pub settle_ms: u64,
    /// A task that moved because its holder was gray does not move again for that reason for so long.
    pub gray_rest_ms: u64,
    /// A holder that still reads the log keeps its task if it will be ready within this time.
    pub catch_up_ms_max: u64,
}

impl Policy {
    /// The same, with what silence means in a group.
    pub fn with(self, supervision: &SupervisionPolicy) -> Self {
        let (fresh_ms, in_step_ms) = (supervision.suspect_after_ms(), supervision.heartbeat_interval_ms);
        Self { fresh_ms, in_step_ms, ..self }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod histories;
