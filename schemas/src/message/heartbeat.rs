//! The sign of life of a CSP, which is also what routing and supervision know about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CspState;
use crate::codec::{Kind, Message};
use crate::error_code::ErrorCode;

/// One CSP says that it lives, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// Its group.
    pub group: String,
    /// Its name.
    pub csp: String,
    /// The machine that it runs on.
    pub node: String,
    /// Differs after every start of the process.
    pub incarnation: String,
    /// How it sees itself.
    pub state: CspState,
    /// The position up to which its copy is applied.
    pub applied: u64,
    /// The last position of the log that it knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_end: Option<u64>,
    /// The epoch that its copy is in.
    pub epoch: u64,
    /// The primary of that epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Requests that it has taken and not answered yet.
    pub outstanding: u32,
    /// When it was said, by the clock of the CSP, in milliseconds since 1970.
    pub at_ms: u64,
    /// For how long the oldest log message that reached it has not been applied; none when nothing waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_ms: Option<u64>,
    /// Why its copy cannot be written, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_error: Option<String>,
    /// Mean time that a query took since the heartbeat before; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_us: Option<u32>,
    /// Mean time that an update took since the heartbeat before; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_us: Option<u32>,
    /// How often it has connected to NATS since its start; none if that is not known. What was on its way to it, or from it, when
    /// this grew may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connects: Option<u64>,
    /// What the clock of its machine shows that only grows and that nobody sets, in milliseconds since some moment; also while
    /// the machine sleeps. By it others tell it when they sent something ([`crate::header::TIME_LEFT`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ms: Option<u64>,
    /// By how much its clock on the wall is ahead of the median of the others of its group, as their heartbeats tell; none if it
    /// hears nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// Why it takes no updates, when that is because of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates_refused: Option<UpdateRefusal>,
    /// For how long its own heartbeats have not come back to it; none while they do. It is heard then and hears nothing, so this
    /// one is no sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard_ms: Option<u64>,
}

impl Heartbeat {
    /// Whether its sender can hear what it is asked.
    #[must_use]
    pub fn is_sign_of_life(&self) -> bool {
        self.unheard_ms.is_none()
    }
}

/// Why updates are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateRefusal {
    /// The code that clients are told: `log_unavailable`, `log_lost` or `log_mismatch`.
    pub code: ErrorCode,
    /// One sentence.
    pub reason: String,
    /// Whether the log's server is there and stores nothing that it is sent: it acknowledges nothing, or says that its store
    /// fails or that it may not use more of its disk. A new start of that server may end this once its disk has room, and ends
    /// nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stalled: bool,
}

impl Message for Heartbeat {
    const TYPE: &'static str = "io.holdfast.replication.v1.heartbeat";
    const KIND: Kind = Kind::Event;
}
