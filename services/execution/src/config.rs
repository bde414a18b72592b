//! How execution is set up. Section `[execution]`. Values that make no sense together are refused at the start.

use crate::model::policy::{Policy, Silence};
use holdfast_schemas::limits;
use holdfast_schemas::message::SupervisionPolicy;
use serde::{Deserialize, Serialize};

/// The settings of execution.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutionConfig {
    /// A CSP whose oldest open request is older is asked whether it is there, no more often than that.
    pub probe_after_ms: u64,
    /// How long the answer to that is awaited.
    pub probe_timeout_ms: u64,
    /// How long a request waits for its first CSP, within its own deadline.
    pub wait_ms_max: u64,
    /// How long after its deadline the CSP's own answer to a request is awaited.
    pub completion_grace_ms: u64,
    /// Open requests of a group at most.
    pub open_requests_max: usize,
    /// Sum of the bodies of a group's open requests at most.
    pub open_bytes_max: usize,
    /// Open requests at one CSP at most.
    pub csp_open_max: u32,
    /// Sum of the bodies that wait for an unknown group to be looked up.
    pub waiting_bytes_max: usize,
    /// A CSP whose copy is later than this is given no task.
    pub task_lag_ms_max: u64,
    /// A CSP that has been available for less is given a task only if there is no other.
    pub task_settle_ms: u64,
    /// A task that moved because its holder was gray does not move again for that reason for so long.
    pub task_gray_rest_ms: u64,
    /// A holder of a task that still reads the log keeps it if it will be ready within this time, where another one is ready.
    pub task_catch_up_ms_max: u64,
    /// Replicas of the assignments bucket, when this service is the one that makes it.
    pub bucket_replicas: usize,
}

impl Default for ExecutionConfig {
    fn default() -> Self {
        Self {
            probe_after_ms: 25,
            probe_timeout_ms: 500,
            wait_ms_max: 10_000,
            completion_grace_ms: 150,
            open_requests_max: 50_000,
            open_bytes_max: 256 * 1024 * 1024,
            csp_open_max: 10_000,
            waiting_bytes_max: 64 * 1024 * 1024,
            task_lag_ms_max: 2_000,
            task_settle_ms: 1_000,
            task_gray_rest_ms: 10_000,
            task_catch_up_ms_max: 1_000,
            bucket_replicas: 1,
        }
    }
}

/// A setting that cannot be. Nothing was started; correct the one that is named.
#[derive(Debug, thiserror::Error)]
#[error("execution.{field} is {value}: it must be from {least} to {most}")]
pub struct OutOfRange {
    field: &'static str,
    value: u64,
    least: u64,
    most: u64,
}

impl ExecutionConfig {
    /// The numbers that the rules go by, in a group whose policy of supervision is the default one.
    pub fn policy(&self) -> Policy {
        Policy {
            silence: Silence::new(&SupervisionPolicy::default()),
            probe_after_ms: self.probe_after_ms,
            patience_ms: self.wait_ms_max,
            completion_grace_ms: self.completion_grace_ms,
            open_requests_max: self.open_requests_max,
            open_bytes_max: self.open_bytes_max,
            csp_open_max: self.csp_open_max,
        }
    }

    /// Refuses settings out of range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let body_max = limits::MAX_REQUEST_BYTES as u64;
        let ranges = [
            ("probe_after_ms", self.probe_after_ms, 1, 60_000),
            ("probe_timeout_ms", self.probe_timeout_ms, 10, 60_000),
            // A CSP answers by itself a moment after the deadline: its own word is more exact than ours.
            ("completion_grace_ms", self.completion_grace_ms, 50, 60_000),
            ("open_requests_max", self.open_requests_max as u64, 1, 1_000_000),
            ("open_bytes_max", self.open_bytes_max as u64, 2 * body_max, 1 << 40),
            ("csp_open_max", u64::from(self.csp_open_max), 1, self.open_requests_max as u64),
            ("wait_ms_max", self.wait_ms_max, 0, limits::MAX_DEADLINE_MS),
            // At least one request of the largest size, at most what the waiting room can count.
            ("waiting_bytes_max", self.waiting_bytes_max as u64, 2 * body_max, 1 << 40),
            ("task_lag_ms_max", self.task_lag_ms_max, 1, 3_600_000),
            ("task_settle_ms", self.task_settle_ms, 0, 3_600_000),
            ("task_catch_up_ms_max", self.task_catch_up_ms_max, 100, 3_600_000),
            ("task_gray_rest_ms", self.task_gray_rest_ms, 1_000, 3_600_000),
            ("bucket_replicas", self.bucket_replicas as u64, 1, 5),
        ];
        match ranges.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            Some((field, value, least, most)) => Err(OutOfRange { field, value, least, most }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_and_nonsense_does_not() {
        assert!(ExecutionConfig::default().check().is_ok());
        let restless = ExecutionConfig { task_gray_rest_ms: 0, ..ExecutionConfig::default() };
        assert!(restless.check().is_err_and(|error| error.to_string().contains("task_gray_rest_ms")));
        let endless = ExecutionConfig { wait_ms_max: limits::MAX_DEADLINE_MS + 1, ..ExecutionConfig::default() };
        assert!(endless.check().is_err());
        let narrow = ExecutionConfig { waiting_bytes_max: 10, ..ExecutionConfig::default() };
        assert!(narrow.check().is_err());
        let lopsided = ExecutionConfig { open_requests_max: 10, csp_open_max: 11, ..ExecutionConfig::default() };
        assert!(lopsided.check().is_err_and(|error| error.to_string().contains("csp_open_max")));
        let lone = ExecutionConfig { bucket_replicas: 0, ..ExecutionConfig::default() };
        assert!(lone.check().is_err());
    }
}
