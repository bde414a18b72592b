//! Control messages: the few lines of JSON by which a group is defined and its primary changes.
//!
//! They are JSON, which anybody can write into a log by mistake. So JSON that is none of the kinds below is void, on every copy
//! and in every later version: there will never be another kind. A rule that a later version needs, and that older ones must not
//! pass over, is sealed in an entry of a higher format version (`frame`), which stops them.

use serde::{Deserialize, Serialize};

use super::error::EntryError;

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// Only the primary that the current epoch names.
    Primary,
    /// Every CSP.
    Peer,
}

/// What a transaction is certified for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// What it wrote, locked and read, ranges included.
    Serializable,
    /// What it wrote and locked.
    Snapshot,
}

/// A control message of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Control {
    /// Sets how the group works from here on.
    Define {
        /// The group's name.
        group: String,
        /// Who may write.
        replication: Replication,
        /// What transactions are certified for.
        isolation: Isolation,
        /// For how long, in log time, ids of transactions are known.
        ids_kept_ms: u64,
    },
    /// Names the primary of a new epoch. Void unless the epoch is higher than the current one.
    Epoch {
        /// The new epoch.
        epoch: u64,
        /// The CSP that may write in it.
        primary: String,
    },
    /// Changes nothing: a place in the log at which every copy takes a digest of its content, so that copies can be
    /// compared while they go on.
    Mark {
        /// Who asks finds its own mark by this.
        id: String,
    },
}

#[derive(Deserialize)]
struct Probe {
    kind: String,
}

impl Control {
    /// Reads a control message; `None` if this is JSON of another origin, or none at all. An error means that it is void.
    pub fn decode(payload: &[u8]) -> Result<Option<Self>, EntryError> {
        if serde_json::from_slice::<Probe>(payload).map_or(true, |probe| probe.kind.is_empty()) {
            return Ok(None);
        }
        match serde_json::from_slice(payload) {
            Ok(control) => Ok(Some(control)),
            Err(error) => Err(EntryError::Control { reason: error.to_string() }),
        }
    }
}
