//! The numbers that the rules go by. Each is a setting of `[execution]`, where it is checked; but what silence means is the
//! policy of each group.

use super::roster::HEARTBEATS_MISSED_MAX;
use holdfast_schemas::limits;
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

/// A request may be this much older than any deadline before it is not sent any more: ids are kept for longer than this at least.
const OVERSLEPT_MS: u64 = 2 * limits::MAX_DEADLINE_MS;
const _: () = assert!(OVERSLEPT_MS < limits::MIN_IDS_KEPT_MS);

/// Whether a request came so long ago that its id may be forgotten, so that it might be carried out a second time. By the clock
/// that only grows and goes on while the machine sleeps: one on the wall that is set ahead would drop what is under way.
pub fn is_overslept(taken_at_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(taken_at_ms) > OVERSLEPT_MS
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_a_long_sleep_is_not_sent_again() {
        assert!(!is_overslept(1_000, 1_000 + limits::MAX_DEADLINE_MS), "an ordinary repetition");
        assert!(is_overslept(1_000, 1_000 + limits::MIN_IDS_KEPT_MS));
    }
}
