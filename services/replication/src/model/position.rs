//! Places in the log.

use bytes::Bytes;

/// Place of a message in the log, which is its stream sequence. The first message has 1; 0 means "nothing yet".
pub type Position = u64;

/// Place of a transaction: the position of its entry (of the last part), and its index among the entry's transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The entry.
    pub position: Position,
    /// The transaction inside it.
    pub index: u32,
}

/// A message as the log delivers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMessage {
    /// Its stream sequence.
    pub position: Position,
    /// When the log stored it, in microseconds since 1970, by the clock of the log's leader: the same for every reader.
    pub timestamp_us: u64,
    /// Its bytes.
    pub payload: Bytes,
}
