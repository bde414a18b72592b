//! What supervision concluded: the value in the states bucket, the events when it changes, and what supervisors tell one
//! another before they conclude.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CspState;
use crate::codec::{Kind, Message};

/// Why a CSP is suspect, for those who act by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Its heartbeats are missed.
    Silent,
    /// It reports, and does not work as it should.
    Gray,
    /// It went and came too often.
    Flapping,
}

impl Doubt {
    /// The doubt as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Gray => "gray",
            Self::Flapping => "flapping",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
    /// Of a suspect, why it is one; none if nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// Whether NATS said that nobody listens there: the process has ended, as far as anybody can tell. A verdict without it rests on
    /// silence, and the process may be heard again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deserted: bool,
    /// The process that was judged; none if none was ever heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// What was observed, one sentence each, in the order in which it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The supervisors that concurred, for a verdict that needs a majority.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concurring: Vec<String>,
}

impl Message for CspStateChange {
    const TYPE: &'static str = "io.holdfast.supervision.v1.csp_state";
    const KIND: Kind = Kind::Event;
}

/// All CSPs of a node went silent together, or the first of them came back: one event for the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStateChange {
    /// The node.
    pub node: String,
    /// Whether it is there.
    pub available: bool,
    /// The CSPs of the group that are on it.
    pub csps: Vec<String>,
    /// Those of them where nobody listens, as NATS said; the others are silent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deserted: Vec<String>,
    /// The group in whose events this is told.
    pub group: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why, in words.
    pub cause: String,
}

impl Message for NodeStateChange {
    const TYPE: &'static str = "io.holdfast.supervision.v1.node_state";
    const KIND: Kind = Kind::Event;
}

/// A supervisor says that it lives, and which CSPs it holds for gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Opinion {
    /// Who says so; differs after every start of the process.
    pub instance: String,
    /// The CSPs that it holds for gone. One that is not named here it does not.
    pub unavailable: Vec<Accusation>,
}

impl Message for Opinion {
    const TYPE: &'static str = "io.holdfast.supervision.v1.opinion";
    const KIND: Kind = Kind::Event;
}

/// One process is held for gone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Accusation {
    /// Its group.
    pub group: String,
    /// Its name.
    pub csp: String,
    /// The process; none if none was ever heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// What was observed.
    pub evidence: String,
    /// Whether NATS said that nobody listens there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deserted: bool,
}

/// Somebody found nobody behind a CSP's name: supervisors look at once, and judge by what they find themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hint {
    /// Its group.
    pub group: String,
    /// Its name.
    pub csp: String,
    /// What was observed.
    pub evidence: String,
}

impl Message for Hint {
    const TYPE: &'static str = "io.holdfast.supervision.v1.hint";
    const KIND: Kind = Kind::Event;
}

/// A node says that it lives, in the words of the agent that runs its CSPs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeAlive {
    /// Its name.
    pub node: String,
    /// Differs after every start of the agent.
    pub incarnation: String,
    /// When it was said, by the clock of the node, in milliseconds since 1970.
    pub at_ms: u64,
}

impl Message for NodeAlive {
    const TYPE: &'static str = "io.holdfast.supervision.v1.node_alive";
    const KIND: Kind = Kind::Event;
}
