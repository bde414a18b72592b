//! What became of a transaction.

use super::position::{Place, Position};

/// The outcome of one transaction, the same on every copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its writes are part of the database.
    Accepted,
    /// Something that it depends on was written after its snapshot. Nothing happened; it can be run again.
    Conflict {
        /// The last position that wrote it.
        position: Position,
        /// What it was.
        cause: Cause,
    },
    /// Its snapshot is older than what the certifier remembers. Nothing happened; it can be run again.
    TooOld {
        /// The oldest snapshot that would have been certified.
        horizon: Position,
    },
    /// The group became serializable while it ran, and what it read was not captured. Nothing happened; it can be run again.
    ReadsUnknown,
    /// A transaction with the same id was accepted before. Answer with the outcome of that one.
    Duplicate(Place),
    /// Its whole entry does not count. Nothing happened.
    Void(VoidReason),
}

impl Verdict {
    /// True if the transaction's writes are to be applied.
    pub fn is_accepted(self) -> bool {
        self == Self::Accepted
    }
}

/// How a transaction depended on the key that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It wrote the key as well.
    Written,
    /// It read the key under lock.
    Locked,
    /// It read the key.
    Read,
    /// It scanned a range that the key is in.
    Range,
}

/// Why an entry does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoidReason {
    /// Not a message of Holdfast.
    #[error("the message is not one of holdfast")]
    Foreign,
    /// Its bytes break the format, or are not those that were sealed.
    #[error("the entry is malformed")]
    Malformed,
    /// Its sender had applied less than what the certifier remembers.
    #[error("the sender was too far behind")]
    BaseTooOld,
    /// A later number or incarnation of the same CSP came before it.
    #[error("a later entry of the same sender came first")]
    Superseded,
    /// Its sender is not the primary of the current epoch, or believed to be in another epoch.
    #[error("the sender is not the primary of the current epoch")]
    NotPrimary,
    /// Earlier parts of it are missing.
    #[error("parts of the entry are missing")]
    Incomplete,
    /// All of its parts together are above a limit: of bytes, or of keys that they write.
    #[error("the entry is too large")]
    TooLarge,
    /// Its sender has read another log than this one.
    #[error("the sender has read another log")]
    OtherLog,
}

impl VoidReason {
    /// True for what no CSP of this group sent in order: somebody else wrote into the log, or the message was damaged before
    /// it came there. It harms nothing, but somebody should know.
    pub fn is_junk(self) -> bool {
        matches!(self, Self::Foreign | Self::Malformed | Self::OtherLog)
    }
}
