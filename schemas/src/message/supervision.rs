//! What supervision concluded about a CSP: the value in the states bucket, and the event when it changes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CspState;
use crate::codec::{Kind, Message};

/// A CSP is in this state since then, because of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CspStateChange {
    /// Its group.
    pub group: String,
    /// Its name.
    pub csp: String,
    /// Its state.
    pub state: CspState,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why, in words.
    pub cause: String,
}

impl Message for CspStateChange {
    const TYPE: &'static str = "io.holdfast.supervision.v1.csp_state";
    const KIND: Kind = Kind::Event;
}
