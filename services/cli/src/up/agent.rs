//! The voice of the node: `up` runs the node's copies, so it says that the node lives while they may not. Supervision tells a
//! node that is gone from one whose copies are.

use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_foundation::config::host_name;
use holdfast_schemas::{Message as _, message::NodeAlive, subject};

use crate::client::Client;

/// The agent of this node.
pub struct Agent {
    node: String,
    incarnation: String,
}

impl Agent {
    /// An agent that has just started.
    #[must_use]
    pub fn new() -> Self {
        Self { node: host_name(), incarnation: now_ms().to_string() }
    }

    /// Says once that the node lives.
    pub async fn say_alive(&self, client: &Client) {
        let alive = NodeAlive { node: self.node.clone(), incarnation: self.incarnation.clone(), at_ms: now_ms() };
        client.say(subject::node_alive(&self.node), alive.encode()).await;
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
