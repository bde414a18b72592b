//! How execution is set up. Section `[execution]`.

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
}

impl Default for ExecutionConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: limits::HEARTBEAT_INTERVAL_MS,
            wait_ms_max: 2_000,
            waiting_bytes_max: 64 * 1024 * 1024,
        }
    }
}
