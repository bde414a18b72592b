//! What a CSP tells about itself when it is asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Heartbeat, Isolation, Replication, Storage};
use crate::codec::{Kind, Message};
use crate::fields;

/// Asks one CSP how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusRequest {}

impl Message for StatusRequest {
    const TYPE: &'static str = "io.holdfast.replication.v1.status_request";
    const KIND: Kind = Kind::Request;
}

/// All that one CSP tells about itself; the members of its heartbeat stand beside the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusReply {
    /// What its heartbeats say.
    #[serde(flatten)]
    pub heartbeat: Heartbeat,
    /// When the process started, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// How the group takes updates.
    pub replication: Replication,
    /// What the group's transactions are certified for.
    pub isolation: Isolation,
    /// Where the copy is kept.
    pub storage: Storage,
    /// The SurrealDB that it embeds.
    pub surrealdb_version: String,
    /// The version of Holdfast.
    pub version: String,
    /// How far it is in catching up, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// What it did since it started.
    pub counters: Counters,
    /// Why it is quarantined, or takes no updates; or what its log lacks, while it goes on all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many messages of the log, up to `applied`, were none that a CSP of the group sent, or were damaged before they came
    /// into the log. They are passed over, and the number is the same on every copy.
    #[serde(default, skip_serializing_if = "fields::is_zero")]
    pub junk: u64,
}

impl Message for StatusReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.status_reply";
    const KIND: Kind = Kind::Reply;
}

/// How far a CSP is in catching up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CatchUp {
    /// The position at which it began.
    pub from: u64,
    /// The position that it has reached.
    pub applied: u64,
    /// The position that it must reach.
    pub target: u64,
}

/// What a CSP did since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Counters {
    /// Transactions applied to the copy.
    pub committed: u64,
    /// Transactions refused because of a conflict.
    pub conflicts: u64,
    /// Queries answered.
    pub queries: u64,
    /// Updates answered.
    pub updates: u64,
    /// Log entries applied.
    pub entries: u64,
    /// Bytes of log entries applied.
    pub bytes: u64,
}
