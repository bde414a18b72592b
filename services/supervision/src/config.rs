//! How supervision itself is set up. Section `[supervision]`. How patient it is with the CSPs of a group is not said here: that
//! is part of the group's definition, and differs between groups.

use crate::model::nodes;
use crate::model::watchlist::Policies;
use holdfast_schemas::limits;
use serde::{Deserialize, Serialize};

/// The settings of supervision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupervisionConfig {
    /// How far apart the verdicts on the CSPs of a node may be that are told as one.
    pub node_window_ms: u64,
    /// How often silence is measured; more often while there is a group whose policy asks for it.
    pub tick_ms: u64,
    /// How often the states of those who report are compared with what is written.
    pub reassert_ms: u64,
    /// How many supervisors are defined. A verdict needs more than half of them, whether they live or not.
    pub supervisors: usize,
    /// Replicas of the states bucket and of the stream of events, when this service is the one that makes them.
    pub bucket_replicas: usize,
}

impl Default for SupervisionConfig {
    fn default() -> Self {
        Self { node_window_ms: 500, tick_ms: 10, reassert_ms: 5_000, supervisors: 1, bucket_replicas: 1 }
    }
}

/// A setting that cannot be. Nothing was started; correct the one that is named.
#[derive(Debug, thiserror::Error)]
#[error("supervision.{field} is {value}: it must be from {least} to {most}")]
pub struct OutOfRange {
    field: &'static str,
    value: u64,
    least: u64,
    most: u64,
}

impl SupervisionConfig {
    /// The policies of the models that are no group's.
    pub fn policies(&self) -> Policies {
        // Agents of nodes speak as often as instances of services do.
        let agent_lost_ms = limits::PRESENCE_LOST_MS;
        Policies {
            nodes: nodes::Policy { window_ms: self.node_window_ms, agent_lost_ms },
            presence_lost_ms: limits::PRESENCE_LOST_MS,
            supervisors: self.supervisors,
        }
    }

    /// Refuses settings out of range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let ranges = [
            ("node_window_ms", self.node_window_ms, 10, 60_000),
            // A tenth of a second is what a supervisor takes for a pause of its own, with some room.
            ("tick_ms", self.tick_ms, 1, limits::PRESENCE_INTERVAL_MS),
            ("reassert_ms", self.reassert_ms, 100, 3_600_000),
            ("supervisors", self.supervisors as u64, 1, 9),
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
        assert!(SupervisionConfig::default().check().is_ok());
        let asleep = SupervisionConfig { tick_ms: 101, ..SupervisionConfig::default() };
        assert!(asleep.check().is_err_and(|error| error.to_string().contains("tick_ms")));
    }
}
