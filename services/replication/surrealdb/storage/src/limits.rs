//! What one transaction may come to.

use std::fmt;

use crate::log::CommitFailure;

/// The limits of a transaction. Those of what goes into the log are rules, the same on every copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLimits {
    /// Most keys that it sets or deletes.
    pub writes_max: usize,
    /// Most bytes of those keys and their values; most bytes, too, of the keys and ranges that it read.
    pub bytes_max: usize,
    /// Most bytes that it may write before its commit, where what is written over counts again.
    pub scratch_bytes_max: usize,
}

impl TransactionLimits {
    /// None; for tests of other things.
    pub const NONE: Self = Self { writes_max: usize::MAX, bytes_max: usize::MAX, scratch_bytes_max: usize::MAX };

    /// Why a transaction of this size is refused, if it is.
    pub(crate) fn excess(&self, size: Size) -> Option<CommitFailure> {
        let amounts = [
            (Amount::Writes, size.writes, self.writes_max),
            (Amount::WrittenBytes, size.written_bytes, self.bytes_max),
            (Amount::ReadBytes, size.read_bytes, self.bytes_max),
            (Amount::ScratchBytes, size.scratch_bytes, self.scratch_bytes_max),
        ];
        let (amount, found, limit) = amounts.into_iter().find(|(_, found, limit)| found > limit)?;
        Some(CommitFailure::TooLarge { amount, found, limit })
    }
}

/// How large a transaction is so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub writes: usize,
    pub written_bytes: usize,
    pub read_bytes: usize,
    pub scratch_bytes: usize,
}

/// What there is too much of in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Keys that it sets or deletes.
    Writes,
    /// Bytes of those keys and their values.
    WrittenBytes,
    /// Bytes of the keys and ranges that it read, which have to be certified.
    ReadBytes,
    /// Bytes written before the commit, where what is written over counts again.
    ScratchBytes,
    /// Bytes of all of it, encoded.
    Bytes,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writes => "keys to set or delete, those of indexes included",
            Self::WrittenBytes => "bytes of keys and values to write",
            Self::ReadBytes => "bytes of keys that it read",
            Self::ScratchBytes => "bytes written, where what is written over counts again",
            Self::Bytes => "bytes, with what it read and its results",
        })
    }
}
