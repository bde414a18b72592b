//! How patient supervision is. Section `[supervision]`.

use crate::model::detector::Policy;
use holdfast_schemas::limits;
use serde::{Deserialize, Serialize};

/// The settings of supervision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupervisionConfig {
    /// How often CSPs say that they live.
    pub heartbeat_interval_ms: u64,
    /// How many heartbeats may be missing before a CSP is suspect.
    pub heartbeats_missed: u32,
    /// How long a status request may take.
    pub status_timeout_ms: u64,
    /// How many status requests may go unanswered before the verdict.
    pub status_attempts: u32,
    /// How often silence is measured.
    pub tick_ms: u64,
    /// How often the states of those who report are compared with what is written.
    pub reassert_ms: u64,
    /// Replicas of the states bucket, when this service is the one that makes it.
    pub bucket_replicas: usize,
}

impl Default for SupervisionConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: limits::HEARTBEAT_INTERVAL_MS,
            heartbeats_missed: 3,
            status_timeout_ms: 300,
            status_attempts: 2,
            tick_ms: 50,
            reassert_ms: 5_000,
            bucket_replicas: 1,
        }
    }
}

impl SupervisionConfig {
    /// The policy of a detector.
    pub fn policy(&self) -> Policy {
        let suspect_after_ms = self.heartbeat_interval_ms * u64::from(self.heartbeats_missed);
        Policy { suspect_after_ms, status_attempts: self.status_attempts, blind_after_ms: suspect_after_ms / 2 }
    }
}
