//! How patient supervision is. Section `[supervision]`. Values that make no sense together are refused at the start.

use crate::model::watchlist::Policies;
use crate::model::{damping, detector, health, nodes};
use holdfast_schemas::limits;
use serde::{Deserialize, Serialize};

/// The longest that a verdict on a silent CSP may take.
const VERDICT_MS_MAX: u64 = 120_000;

/// The settings of supervision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupervisionConfig {
    /// How often CSPs say that they live.
    pub heartbeat_interval_ms: u64,
    /// How long after the last heartbeat a CSP is asked for its status, in hundredths of the interval.
    pub heartbeat_late_percent: u64,
    /// How many heartbeats may be missing before a CSP is suspect.
    pub heartbeats_missed: u32,
    /// How long a status request may take.
    pub status_timeout_ms: u64,
    /// How many status requests may go unanswered before a suspect is held for gone.
    pub status_attempts: u32,
    /// How far apart the verdicts on the CSPs of a node may be that are told as one.
    pub node_window_ms: u64,
    /// For how long a CSP may leave a message of the log unapplied that has reached it.
    pub stuck_ms_max: u64,
    /// How far back in time a copy may be behind the furthest of its group.
    pub lag_ms_max: u64,
    /// For how long a CSP that did not work as it should must be well before it is trusted again.
    pub well_after_ms: u64,
    /// How often a CSP may become unavailable within `flapping_window_ms` before it is held.
    pub flapping_verdicts: u32,
    /// The time in which that is counted.
    pub flapping_window_ms: u64,
    /// For how long it is held the first time; this doubles.
    pub flapping_hold_ms_min: u64,
    /// For how long it is held at most.
    pub flapping_hold_ms_max: u64,
    /// How often silence is measured.
    pub tick_ms: u64,
    /// How often the states of those who report are compared with what is written.
    pub reassert_ms: u64,
    /// Replicas of the states bucket and of the stream of events, when this service is the one that makes them.
    pub bucket_replicas: usize,
}

impl Default for SupervisionConfig {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: limits::HEARTBEAT_INTERVAL_MS,
            heartbeat_late_percent: 125,
            heartbeats_missed: 5,
            status_timeout_ms: 200,
            status_attempts: 2,
            node_window_ms: 500,
            stuck_ms_max: 2_000,
            lag_ms_max: 5_000,
            well_after_ms: 3_000,
            flapping_verdicts: 3,
            flapping_window_ms: 60_000,
            flapping_hold_ms_min: 5_000,
            flapping_hold_ms_max: 60_000,
            tick_ms: 10,
            reassert_ms: 5_000,
            bucket_replicas: 1,
        }
    }
}

impl SupervisionConfig {
    /// The policies of the models.
    pub fn policies(&self) -> Policies {
        Policies {
            detector: detector::Policy {
                late_after_ms: self.late_after_ms(),
                suspect_after_ms: self.suspect_after_ms(),
                status_attempts: self.status_attempts,
                hint_pause_ms: self.heartbeat_interval_ms,
            },
            damping: damping::Policy {
                verdicts_max: self.flapping_verdicts as usize,
                window_ms: self.flapping_window_ms,
                hold_min_ms: self.flapping_hold_ms_min,
                hold_max_ms: self.flapping_hold_ms_max,
            },
            health: health::Limits {
                stuck_ms_max: self.stuck_ms_max,
                lag_ms_max: self.lag_ms_max,
                well_after_ms: self.well_after_ms,
                sample_ms: self.heartbeat_interval_ms,
            },
            nodes: nodes::Policy { window_ms: self.node_window_ms, agent_lost_ms: self.suspect_after_ms() },
            blind_after_ms: self.suspect_after_ms() / 2,
            presence_lost_ms: limits::PRESENCE_LOST_MS,
        }
    }

    fn late_after_ms(&self) -> u64 {
        self.heartbeat_interval_ms * self.heartbeat_late_percent / 100
    }

    fn suspect_after_ms(&self) -> u64 {
        self.heartbeat_interval_ms * u64::from(self.heartbeats_missed)
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
    /// Silence would be measured too rarely to notice in time that a heartbeat is late.
    #[error(
        "supervision.tick_ms is {tick_ms}: it must be at most a sixth of the {late_ms} ms after which a heartbeat is late"
    )]
    TooSlow {
        /// The value.
        tick_ms: u64,
        /// What it is measured against.
        late_ms: u64,
    },
    /// A CSP would be suspect before it was asked.
    #[error(
        "a heartbeat is late after {late_ms} ms (supervision.heartbeat_late_percent): it must be less than the {silence_ms} ms that make a CSP suspect"
    )]
    LateTooLate {
        /// When a heartbeat is late.
        late_ms: u64,
        /// When it is missed.
        silence_ms: u64,
    },
    /// A CSP would be suspect before we could know that we ourselves are cut off.
    #[error(
        "supervision.heartbeat_interval_ms times heartbeats_missed is {silence_ms} ms: it must be at least {least_ms} ms"
    )]
    TooHasty {
        /// When a CSP is suspect.
        silence_ms: u64,
        /// The least that it may be.
        least_ms: u64,
    },
    /// A verdict on a CSP that hangs would take too long to be of use.
    #[error(
        "a CSP that hangs would be judged after {verdict_ms} ms (heartbeats missed, then supervision.status_timeout_ms times status_attempts): it must be at most {most_ms} ms"
    )]
    VerdictTooLate {
        /// When there would be a verdict.
        verdict_ms: u64,
        /// The latest that it may be.
        most_ms: u64,
    },
    /// The shortest hold is longer than the longest.
    #[error(
        "supervision.flapping_hold_ms_min is {least_ms}: it must be at most flapping_hold_ms_max, which is {most_ms}"
    )]
    HoldReversed {
        /// The shortest.
        least_ms: u64,
        /// The longest.
        most_ms: u64,
    },
}

impl SupervisionConfig {
    /// Refuses settings out of range or out of proportion.
    pub fn check(&self) -> Result<(), SettingError> {
        self.check_ranges()?;
        let (tick_ms, late_ms, silence_ms) = (self.tick_ms, self.late_after_ms(), self.suspect_after_ms());
        if tick_ms * 6 > late_ms {
            return Err(SettingError::TooSlow { tick_ms, late_ms });
        }
        if late_ms >= silence_ms {
            return Err(SettingError::LateTooLate { late_ms, silence_ms });
        }
        // Our own blindness is noticed in half of the silence, and in no less than two of our own words.
        let least_ms = 4 * limits::PRESENCE_INTERVAL_MS;
        if silence_ms < least_ms {
            return Err(SettingError::TooHasty { silence_ms, least_ms });
        }
        let verdict_ms = silence_ms + self.status_timeout_ms * u64::from(self.status_attempts);
        if verdict_ms > VERDICT_MS_MAX {
            return Err(SettingError::VerdictTooLate { verdict_ms, most_ms: VERDICT_MS_MAX });
        }
        let (least_ms, most_ms) = (self.flapping_hold_ms_min, self.flapping_hold_ms_max);
        if least_ms > most_ms {
            return Err(SettingError::HoldReversed { least_ms, most_ms });
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<(), SettingError> {
        let ranges = [
            ("heartbeat_interval_ms", self.heartbeat_interval_ms, 10, 60_000),
            ("heartbeat_late_percent", self.heartbeat_late_percent, 105, 1_000),
            ("heartbeats_missed", self.heartbeats_missed.into(), 2, 1_000),
            ("status_timeout_ms", self.status_timeout_ms, 10, 60_000),
            ("status_attempts", self.status_attempts.into(), 1, 100),
            ("node_window_ms", self.node_window_ms, 10, 60_000),
            ("stuck_ms_max", self.stuck_ms_max, 100, 3_600_000),
            ("lag_ms_max", self.lag_ms_max, 100, 3_600_000),
            ("well_after_ms", self.well_after_ms, 100, 3_600_000),
            ("flapping_verdicts", self.flapping_verdicts.into(), 2, 1_000),
            ("flapping_window_ms", self.flapping_window_ms, 1_000, 3_600_000),
            ("flapping_hold_ms_min", self.flapping_hold_ms_min, 1, 3_600_000),
            ("flapping_hold_ms_max", self.flapping_hold_ms_max, 1, 3_600_000),
            ("tick_ms", self.tick_ms, 1, 10_000),
            ("reassert_ms", self.reassert_ms, 100, 3_600_000),
            ("bucket_replicas", self.bucket_replicas as u64, 1, 5),
        ];
        match ranges.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            Some((field, value, least, most)) => Err(SettingError::OutOfRange { field, value, least, most }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut SupervisionConfig)) -> SettingError {
        let mut config = SupervisionConfig::default();
        change(&mut config);
        config.check().unwrap_err()
    }

    #[test]
    fn the_defaults_pass() {
        SupervisionConfig::default().check().unwrap();
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let hasty = refused(|config| config.heartbeats_missed = 1);
        assert!(matches!(hasty, SettingError::OutOfRange { field: "heartbeats_missed", .. }));
    }

    #[test]
    fn values_out_of_proportion_are_refused() {
        assert!(matches!(refused(|config| config.tick_ms = 50), SettingError::TooSlow { .. }));
        assert!(matches!(refused(|config| config.heartbeat_late_percent = 500), SettingError::LateTooLate { .. }));
        assert!(matches!(refused(|config| config.heartbeats_missed = 3), SettingError::TooHasty { .. }));
        assert!(matches!(refused(|config| config.flapping_hold_ms_min = 61_000), SettingError::HoldReversed { .. }));
        let endless = refused(|config| (config.status_timeout_ms, config.status_attempts) = (60_000, 2));
        assert!(matches!(endless, SettingError::VerdictTooLate { .. }));
    }
}
