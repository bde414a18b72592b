//! The event that says how a CSP stands to the log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UpdateRefusal;
use crate::codec::{Kind, Message};

/// A CSP found that the log takes nothing, is gone, or is not the one that its copy has applied; or that this is over. Sent to
/// the group's events, of kind [`crate::subject::EVENT_LOG`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogChange {
    /// Its group.
    pub group: String,
    /// Who found it.
    pub csp: String,
    /// The position up to which its copy is applied.
    pub applied: u64,
    /// Why it takes no updates; none when it takes them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates_refused: Option<UpdateRefusal>,
    /// When, by the clock of the CSP, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Message for LogChange {
    const TYPE: &'static str = "io.holdfast.replication.v1.log_change";
    const KIND: Kind = Kind::Event;
}
