//! The numbers that the rules go by. Each is a setting of `[execution]`, where it is checked; but what silence means is the
//! policy of each group.

use super::roster::HEARTBEATS_MISSED_MAX;
use holdfast_schemas::message::SupervisionPolicy;

/// All numbers of the rules.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// What a CSP's silence means.
    pub silence: Silence,
    /// A CSP whose oldest open request is older is asked whether it is there.
    pub probe_after_ms: u64,
    /// How long a request that was never sent waits for a CSP, within its deadline.
    pub patience_ms: u64,
    /// How long after the deadline the CSP's own answer is awaited.
    pub completion_grace_ms: u64,
    /// Open requests of a group at most.
    pub open_requests_max: usize,
    /// Sum of the bodies of a group's open requests at most.
    pub open_bytes_max: usize,
    /// Open requests at one CSP at most.
    pub csp_open_max: u32,
}

/// What the silence of a group's CSPs means.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    /// How often CSPs say that they live.
    pub heartbeat_interval_ms: u64,
    /// A CSP that was silent for longer has lost its requests.
    pub lost_after_ms: u64,
}

impl Silence {
    /// As the group's policy has it. Where supervision suspects a CSP sooner than it is not chosen any more, its requests stay
    /// until then: who gets nothing any more may still answer what it has.
    pub fn new(policy: &SupervisionPolicy) -> Self {
        let heartbeat_interval_ms = policy.heartbeat_interval_ms;
        let not_chosen_ms = heartbeat_interval_ms.saturating_mul(HEARTBEATS_MISSED_MAX);
        Self { heartbeat_interval_ms, lost_after_ms: policy.suspect_after_ms().max(not_chosen_ms) }
    }
}

#[cfg(test)]
impl Policy {
    /// Small and round numbers.
    pub fn for_tests() -> Self {
        Self {
            silence: Silence { heartbeat_interval_ms: 100, lost_after_ms: 500 },
            probe_after_ms: 25,
            patience_ms: 1_000,
            completion_grace_ms: 150,
            open_requests_max: 1_000,
            open_bytes_max: 100_000,
            csp_open_max: 500,
        }
    }
}
