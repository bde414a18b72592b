//! Why a copy must stop. Everything that is merely wrong with a message is decided by rule instead (see `verdict`), so that
//! one bad message cannot stop every copy.

use super::position::Position;
use crate::entry::EntryError;

/// This copy must not go on: it and the log do not belong together, or it cannot read what others can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A message is missing, or the log went back.
    #[error("the log delivered position {found} where {expected} should follow")]
    Sequence {
        /// The position that must follow.
        expected: Position,
        /// The position that came.
        found: Position,
    },
    /// A newer version wrote the message. Upgrade this CSP.
    #[error("position {position} cannot be read")]
    Unreadable {
        /// Where.
        position: Position,
        /// Why.
        #[source]
        source: EntryError,
    },
    /// The message is from a copy with a newer storage format of SurrealDB. Upgrade this CSP.
    #[error("position {position} has storage version {theirs}, this copy has {ours}")]
    StorageVersion {
        /// Where.
        position: Position,
        /// The version of this copy.
        ours: u16,
        /// The version of the entry.
        theirs: u16,
    },
    /// The log led to the stored state, and what the copy keeps besides (its ids) does not fit that: its files are of different days.
    #[error("what the copy keeps does not fit its position {position}: {reason}")]
    Kept {
        /// Where the copy is.
        position: Position,
        /// What does not hold.
        reason: &'static str,
    },
    /// What was replayed does not lead to the stored state.
    #[error("replaying the log up to {position} does not lead to the stored state: {reason}")]
    Replay {
        /// Where.
        position: Position,
        /// What differs.
        reason: &'static str,
    },
}
