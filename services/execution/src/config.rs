//! How execution is set up. Section `[execution]`. Values that make no sense together are refused at the start.

use holdfast_schemas::limits;
use serde::{Deserialize, Serialize};

/// The settings of execution.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExecutionConfig {
    /// How often CSPs say that they live; one that was silent for three intervals gets nothing.
    pub heartbeat_interval_ms: u64,
    /// How long a request waits for a CSP, within its own deadline.
    pub wait_ms_max: u64,
    /// Sum of the bodies that wait at the same time.
    pub waiting_bytes_max: usize,
    /// A CSP whose copy is later than this is given no task.
    pub task_lag_ms_max: u64,
    /// A CSP that has been available for less is given a task only if there is no other.
    pub task_settle_ms: u64,
    /// Replicas of the assignments bucket, when this service is the one that makes it.
    pub bucket_replicas: usize,
}

impl Default for ExecutionConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: limits::HEARTBEAT_INTERVAL_MS,
            wait_ms_max: 2_000,
            waiting_bytes_max: 64 * 1024 * 1024,
            task_lag_ms_max: 2_000,
            task_settle_ms: 1_000,
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
    /// Refuses settings out of range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let body_max = limits::MAX_REQUEST_BYTES as u64;
        let ranges = [
            ("heartbeat_interval_ms", self.heartbeat_interval_ms, 10, 60_000),
            ("wait_ms_max", self.wait_ms_max, 0, limits::MAX_DEADLINE_MS),
            // At least one request of the largest size, at most what the waiting room can count.
            ("waiting_bytes_max", self.waiting_bytes_max as u64, 2 * body_max, 1 << 40),
            ("task_lag_ms_max", self.task_lag_ms_max, 1, 3_600_000),
            ("task_settle_ms", self.task_settle_ms, 0, 3_600_000),
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
        let silent = ExecutionConfig { heartbeat_interval_ms: 0, ..ExecutionConfig::default() };
        assert!(silent.check().is_err_and(|error| error.to_string().contains("heartbeat_interval_ms")));
        let endless = ExecutionConfig { wait_ms_max: limits::MAX_DEADLINE_MS + 1, ..ExecutionConfig::default() };
        assert!(endless.check().is_err());
        let narrow = ExecutionConfig { waiting_bytes_max: 10, ..ExecutionConfig::default() };
        assert!(narrow.check().is_err());
        let lone = ExecutionConfig { bucket_replicas: 0, ..ExecutionConfig::default() };
        assert!(lone.check().is_err());
    }
}
