//! Telling one CSP what to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codec::{Kind, Message};

/// What a CSP can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ControlAction {
    /// Finish what is under way and exit.
    Shutdown,
    /// Take nothing new, hand over every task, finish what is under way, and stay in maintenance until told to resume.
    Drain,
    /// End maintenance: take requests again. Tasks do not come back by themselves.
    Resume,
}

/// Tells one CSP what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlRequest {
    /// What to do.
    pub action: ControlAction,
}

impl Message for ControlRequest {
    const TYPE: &'static str = "io.holdfast.replication.v1.control_request";
    const KIND: Kind = Kind::Request;
}

/// The CSP understood, and begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ControlReply {
    /// What it begins.
    pub action: ControlAction,
}

impl Message for ControlReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.control_reply";
    const KIND: Kind = Kind::Reply;
}
