//! The policy of a group, in the words of the models.

use super::{damping, detector, health};
use holdfast_schemas::message::SupervisionPolicy;

/// How often silence is measured within the time that makes a heartbeat late.
const TICKS_MIN: u64 = 6;

/// How patient each model is with the CSPs of one group.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// About silence.
    pub detector: detector::Policy,
    /// About going and coming.
    pub damping: damping::Policy,
    /// About not working.
    pub health: health::Limits,
    /// About answers.
    pub status_timeout_ms: u64,
}

impl Patience {
    /// What the policy asks for.
    pub fn new(policy: &SupervisionPolicy) -> Self {
        Self {
            detector: detector::Policy {
                late_after_ms: policy.late_after_ms(),
                suspect_after_ms: policy.suspect_after_ms(),
                status_attempts: policy.status_attempts,
                hint_pause_ms: policy.heartbeat_interval_ms,
            },
            damping: damping::Policy {
                verdicts_max: policy.flapping_verdicts,
                window_ms: policy.flapping_window_ms,
                hold_min_ms: policy.flapping_hold_ms_min,
                hold_max_ms: policy.flapping_hold_ms_max,
            },
            health: health::Limits {
                stuck_ms_max: policy.stuck_ms_max,
                lag_ms_max: policy.lag_ms_max,
                well_after_ms: policy.well_after_ms,
                sample_ms: policy.heartbeat_interval_ms,
            },
            status_timeout_ms: policy.status_timeout_ms,
        }
    }

    /// How often silence must be measured at least.
    pub fn tick_ms_max(&self) -> u64 {
        (self.detector.late_after_ms / TICKS_MIN).max(1)
    }

    /// How long our own blindness may last before it could be taken for a CSP's silence.
    pub fn blind_after_ms(&self) -> u64 {
        self.detector.suspect_after_ms / 2
    }
}
