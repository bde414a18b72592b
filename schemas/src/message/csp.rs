//! The states of a CSP. Which may follow which is a table of the supervision service.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a CSP stands in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CspState {
    /// It started and has not read the log yet.
    Joining,
    /// It applies what it missed, and takes no requests.
    CatchingUp,
    /// It takes requests.
    Available,
    /// It missed heartbeats; nothing is decided yet.
    Suspect,
    /// It was judged to be gone.
    Unavailable,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// An operator took it out for a while.
    Maintenance,
    /// Its copy may differ from the others: it answers nothing until it is rebuilt.
    Quarantined,
    /// It left the group for good.
    Removed,
}

impl CspState {
    /// All states, in the order of a CSP's life.
    pub const ALL: [Self; 9] = [
        Self::Joining,
        Self::CatchingUp,
        Self::Available,
        Self::Suspect,
        Self::Unavailable,
        Self::Draining,
        Self::Maintenance,
        Self::Quarantined,
        Self::Removed,
    ];

    /// The state as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::CatchingUp => "catching_up",
            Self::Available => "available",
            Self::Suspect => "suspect",
            Self::Unavailable => "unavailable",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
            Self::Quarantined => "quarantined",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for CspState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_stands_on_the_wire() {
        for state in CspState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
