//! How patient supervision is. Section `[supervision]`. Values that make no sense together are refused at the start.

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

/// Settings that cannot be. Nothing was started; correct the one that is named.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// A value out of range.
    #[error("supervision.{field} is {value}: it must be from {least} to {most}")]
    OutOfRange {
        /// Which.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The least that it may be.
        least: u64,
        /// The most that it may be.
        most: u64,
    },
    /// Silence would be measured too rarely to tell a CSP's from our own.
    #[error(
        "supervision.tick_ms is {tick_ms}: it must be at most a sixth of the {silence_ms} ms that make a CSP suspect"
    )]
    TooSlow {
        /// The value.
        tick_ms: u64,
        /// What it is measured against.
        silence_ms: u64,
    },
}

impl SupervisionConfig {
    /// Refuses settings out of range or out of proportion.
    pub fn check(&self) -> Result<(), SettingError> {
        let ranges = [
            ("heartbeat_interval_ms", self.heartbeat_interval_ms, 10, 60_000),
            ("heartbeats_missed", self.heartbeats_missed.into(), 2, 1_000),
            ("status_timeout_ms", self.status_timeout_ms, 10, 60_000),
            ("status_attempts", self.status_attempts.into(), 1, 100),
            ("tick_ms", self.tick_ms, 1, 10_000),
            ("reassert_ms", self.reassert_ms, 100, 3_600_000),
            ("bucket_replicas", self.bucket_replicas as u64, 1, 5),
        ];
        if let Some((field, value, least, most)) =
            ranges.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value))
        {
            return Err(SettingError::OutOfRange { field, value, least, most });
        }
        let silence_ms = self.policy().suspect_after_ms;
        if self.tick_ms * 6 > silence_ms {
            return Err(SettingError::TooSlow { tick_ms: self.tick_ms, silence_ms });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_and_nonsense_does_not() {
        assert!(SupervisionConfig::default().check().is_ok());
        let hasty = SupervisionConfig { heartbeats_missed: 1, ..SupervisionConfig::default() };
        assert!(matches!(hasty.check(), Err(SettingError::OutOfRange { field: "heartbeats_missed", .. })));
        let slow = SupervisionConfig { tick_ms: 200, ..SupervisionConfig::default() };
        assert!(matches!(slow.check(), Err(SettingError::TooSlow { .. })));
    }
}
