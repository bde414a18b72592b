//! How patient supervision is with the CSPs of one group. A policy that makes no sense is refused with the group's definition.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codec::DecodeError;
use crate::limits::{HEARTBEAT_INTERVAL_MS, PRESENCE_INTERVAL_MS};

/// The longest that a verdict on a silent CSP may take.
const VERDICT_MS_MAX: u64 = 120_000;

/// When a CSP of the group is late, suspect, gone, gray or flapping. What is left out is as by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SupervisionPolicy {
    /// How often CSPs say that they live.
    #[schemars(range(min = 10, max = 60_000))]
    pub heartbeat_interval_ms: u64,
    /// How long after the last heartbeat a CSP is asked for its status, in hundredths of the interval.
    #[schemars(range(min = 105, max = 1_000))]
    pub heartbeat_late_percent: u64,
    /// How many heartbeats may be missing before a CSP is suspect.
    #[schemars(range(min = 2, max = 1_000))]
    pub heartbeats_missed: u64,
    /// How long a status request may take.
    #[schemars(range(min = 10, max = 60_000))]
    pub status_timeout_ms: u64,
    /// How many status requests may go unanswered before a suspect is held for gone.
    #[schemars(range(min = 1, max = 100))]
    pub status_attempts: u64,
    /// For how long a CSP may leave a message of the log unapplied that has reached it.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub stuck_ms_max: u64,
    /// How far back in time a copy may be behind the furthest of its group.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub lag_ms_max: u64,
    /// For how long a CSP that did not work as it should must be well before it is trusted again.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub well_after_ms: u64,
    /// How often a CSP may become unavailable within `flapping_window_ms` before it is held.
    #[schemars(range(min = 2, max = 1_000))]
    pub flapping_verdicts: u64,
    /// The time in which that is counted.
    #[schemars(range(min = 1_000, max = 3_600_000))]
    pub flapping_window_ms: u64,
    /// For how long it is held the first time; this doubles.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub flapping_hold_ms_min: u64,
    /// For how long it is held at most.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub flapping_hold_ms_max: u64,
}

impl Default for SupervisionPolicy {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
            heartbeat_late_percent: 125,
            heartbeats_missed: 5,
            status_timeout_ms: 200,
            status_attempts: 2,
            stuck_ms_max: 2_000,
            lag_ms_max: 5_000,
            well_after_ms: 3_000,
            flapping_verdicts: 3,
            flapping_window_ms: 60_000,
            flapping_hold_ms_min: 5_000,
            flapping_hold_ms_max: 60_000,
        }
    }
}

/// A policy that cannot be. Correct the field that is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There is no such field.
    #[error("has no {name:?}; its fields: {}", SupervisionPolicy::names().join(", "))]
    Unknown {
        /// What was named.
        name: String,
    },
    /// A value out of range.
    #[error("sets {field} to {value}: it must be from {least} to {most}")]
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
    /// A CSP would be suspect before it was asked.
    #[error(
        "makes a heartbeat late after {late_ms} ms (heartbeat_late_percent): it must be less than the {silence_ms} ms that make \
         a CSP suspect"
    )]
    LateTooLate {
        /// When a heartbeat is late.
        late_ms: u64,
        /// When it is missed.
        silence_ms: u64,
    },
    /// A CSP would be suspect before a supervisor could know that it is cut off itself.
    #[error(
        "makes a CSP suspect after {silence_ms} ms (heartbeat_interval_ms times heartbeats_missed): it must be at least {least_ms} ms"
    )]
    TooHasty {
        /// When a CSP is suspect.
        silence_ms: u64,
        /// The least that it may be.
        least_ms: u64,
    },
    /// A verdict on a CSP that hangs would take too long to be of use.
    #[error(
        "judges a CSP that hangs after {verdict_ms} ms (heartbeats missed, then status_timeout_ms times status_attempts): it \
         must be at most {most_ms} ms"
    )]
    VerdictTooLate {
        /// When there would be a verdict.
        verdict_ms: u64,
        /// The latest that it may be.
        most_ms: u64,
    },
    /// The shortest hold is longer than the longest.
    #[error("sets flapping_hold_ms_min to {least_ms}: it must be at most flapping_hold_ms_max, which is {most_ms}")]
    HoldReversed {
        /// The shortest.
        least_ms: u64,
        /// The longest.
        most_ms: u64,
    },
}

/// One field: its name, its least and its most value, and its place.
struct Field {
    name: &'static str,
    least: u64,
    most: u64,
    place: fn(&mut SupervisionPolicy) -> &mut u64,
}

const FIELDS: [Field; 12] = [
    field("heartbeat_interval_ms", 10, 60_000, |policy| &mut policy.heartbeat_interval_ms),
    field("heartbeat_late_percent", 105, 1_000, |policy| &mut policy.heartbeat_late_percent),
    field("heartbeats_missed", 2, 1_000, |policy| &mut policy.heartbeats_missed),
    field("status_timeout_ms", 10, 60_000, |policy| &mut policy.status_timeout_ms),
    field("status_attempts", 1, 100, |policy| &mut policy.status_attempts),
    field("stuck_ms_max", 100, 3_600_000, |policy| &mut policy.stuck_ms_max),
    field("lag_ms_max", 100, 3_600_000, |policy| &mut policy.lag_ms_max),
    field("well_after_ms", 100, 3_600_000, |policy| &mut policy.well_after_ms),
    field("flapping_verdicts", 2, 1_000, |policy| &mut policy.flapping_verdicts),
    field("flapping_window_ms", 1_000, 3_600_000, |policy| &mut policy.flapping_window_ms),
    field("flapping_hold_ms_min", 1, 3_600_000, |policy| &mut policy.flapping_hold_ms_min),
    field("flapping_hold_ms_max", 1, 3_600_000, |policy| &mut policy.flapping_hold_ms_max),
];

const fn field(name: &'static str, least: u64, most: u64, place: fn(&mut SupervisionPolicy) -> &mut u64) -> Field {
    Field { name, least, most, place }
}

impl SupervisionPolicy {
    /// The names of all fields.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        FIELDS.iter().map(|field| field.name).collect()
    }

    /// Sets the field of this name.
    ///
    /// # Errors
    /// There is no such field.
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), PolicyError> {
        let field = FIELDS.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| PolicyError::Unknown { name: name.to_owned() })?;
        *(field.place)(self) = value;
        Ok(())
    }

    /// Whether everything is as by default: such a policy is left out of a definition.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The silence after which a CSP is asked for its status.
    #[must_use]
    pub fn late_after_ms(&self) -> u64 {
        self.heartbeat_interval_ms.saturating_mul(self.heartbeat_late_percent) / 100
    }

    /// The silence that makes a CSP suspect.
    #[must_use]
    pub fn suspect_after_ms(&self) -> u64 {
        self.heartbeat_interval_ms.saturating_mul(self.heartbeats_missed)
    }

    /// Refuses values out of range or out of proportion.
    ///
    /// # Errors
    /// When the policy cannot be.
    pub fn check(&self) -> Result<(), PolicyError> {
        self.check_ranges()?;
        let (late_ms, silence_ms) = (self.late_after_ms(), self.suspect_after_ms());
        if late_ms >= silence_ms {
            return Err(PolicyError::LateTooLate { late_ms, silence_ms });
        }
        // A supervisor notices its own blindness in half of the silence, and in no less than two of its own words.
        let least_ms = 4 * PRESENCE_INTERVAL_MS;
        if silence_ms < least_ms {
            return Err(PolicyError::TooHasty { silence_ms, least_ms });
        }
        let verdict_ms = silence_ms + self.status_timeout_ms * self.status_attempts;
        if verdict_ms > VERDICT_MS_MAX {
            return Err(PolicyError::VerdictTooLate { verdict_ms, most_ms: VERDICT_MS_MAX });
        }
        let (least_ms, most_ms) = (self.flapping_hold_ms_min, self.flapping_hold_ms_max);
        if least_ms > most_ms {
            return Err(PolicyError::HoldReversed { least_ms, most_ms });
        }
        Ok(())
    }

    fn check_ranges(mut self) -> Result<(), PolicyError> {
        for Field { name: field, least, most, place } in FIELDS {
            let value = *place(&mut self);
            if !(least..=most).contains(&value) {
                return Err(PolicyError::OutOfRange { field, value, least, most });
            }
        }
        Ok(())
    }
}

/// As the rules of a definition say it.
pub(super) fn check(policy: &SupervisionPolicy) -> Result<(), DecodeError> {
    policy.check().map_err(|error| DecodeError::refused("supervision", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(change: impl FnOnce(&mut SupervisionPolicy)) -> PolicyError {
        let mut policy = SupervisionPolicy::default();
        change(&mut policy);
        policy.check().unwrap_err()
    }

    #[test]
    fn the_defaults_pass_and_what_is_left_out_is_one() {
        SupervisionPolicy::default().check().unwrap();
        let policy: SupervisionPolicy = serde_json::from_value(json!({"heartbeat_interval_ms": 200})).unwrap();
        assert_eq!(policy, SupervisionPolicy { heartbeat_interval_ms: 200, ..SupervisionPolicy::default() });
        assert!(!policy.is_default());
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let hasty = refused(|policy| policy.heartbeats_missed = 1);
        assert!(matches!(hasty, PolicyError::OutOfRange { field: "heartbeats_missed", .. }));
        let endless = refused(|policy| policy.heartbeat_interval_ms = u64::MAX);
        assert!(matches!(endless, PolicyError::OutOfRange { field: "heartbeat_interval_ms", .. }));
    }

    #[test]
    fn values_out_of_proportion_are_refused() {
        assert!(matches!(refused(|policy| policy.heartbeat_late_percent = 500), PolicyError::LateTooLate { .. }));
        assert!(matches!(refused(|policy| policy.heartbeats_missed = 3), PolicyError::TooHasty { .. }));
        assert!(matches!(refused(|policy| policy.flapping_hold_ms_min = 61_000), PolicyError::HoldReversed { .. }));
        let endless = refused(|policy| (policy.status_timeout_ms, policy.status_attempts) = (60_000, 2));
        assert!(matches!(endless, PolicyError::VerdictTooLate { .. }));
    }

    #[test]
    fn every_field_can_be_set_by_its_name_and_no_other() {
        let fields = serde_json::to_value(SupervisionPolicy::default()).unwrap();
        let mut names: Vec<_> = fields.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        let mut named = SupervisionPolicy::names();
        named.sort_unstable();
        assert_eq!(named, names);
        for name in named {
            let mut policy = SupervisionPolicy::default();
            policy.set(name, 7).unwrap();
            assert_eq!(serde_json::to_value(policy).unwrap()[name], 7);
        }
        let error = SupervisionPolicy::default().set("patience", 1).unwrap_err();
        assert!(error.to_string().contains("heartbeat_interval_ms"), "{error}");
    }
}
