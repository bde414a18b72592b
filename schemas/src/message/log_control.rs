//! Entries of the log that change how the log is read. They are JSON (first byte `{`), so that a person can read them;
//! entries with transactions are binary and begin with another byte.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Isolation, Replication};
use crate::codec::{Kind, Message};

/// A rule that holds from its position on.
///
/// A copy that met a kind it does not know could not tell what to do with the entries behind it, so unlike other events
/// this one is not read leniently: an unknown kind does not decode, and the copy stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LogControl {
    /// How the group takes updates, and what it certifies them for.
    Define {
        /// Who may write.
        replication: Replication,
        /// What is certified.
        isolation: Isolation,
        /// The group, so that a log in the wrong stream is noticed.
        group: String,
        /// How long ids and outcomes are kept, in milliseconds.
        ids_kept_ms: u64,
    },
    /// A new epoch begins. Entries of an older epoch behind this one are void.
    Epoch {
        /// Its number, one more than the last.
        epoch: u64,
        /// The only CSP whose entries count in a primary group.
        primary: String,
    },
}

impl Message for LogControl {
    const TYPE: &'static str = "io.holdfast.replication.v1.log_control";
    const KIND: Kind = Kind::Event;
}
