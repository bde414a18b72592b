//! Why bytes are not an entry, and what follows from it for the log.

/// A log message, or its body, that does not hold to the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The bytes end before the value that they announce.
    #[error("the message ends inside its {what}")]
    Truncated {
        /// The part of the message that is cut.
        what: &'static str,
    },
    /// Bytes are left over behind the last value.
    #[error("{count} bytes too many behind the {what}")]
    Trailing {
        /// The part of the message that should have ended.
        what: &'static str,
        /// How many bytes are left.
        count: usize,
    },
    /// A varint is longer than ten bytes or does not fit.
    #[error("a number in the {what} is not a valid varint")]
    Varint {
        /// The part of the message that holds the number.
        what: &'static str,
    },
    /// A length, count or size is above its limit.
    #[error("{what} of {value} is above the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        value: u64,
        /// How large it may be.
        limit: u64,
    },
    /// Text is not UTF-8, or is empty where it must not be.
    #[error("the {what} is not valid text")]
    Text {
        /// Which text.
        what: &'static str,
    },
    /// A field has a value that the format does not know.
    #[error("{value} is no valid {what}")]
    Value {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A transaction claims to have read a position that its sender had not applied when it sealed the entry.
    #[error("a snapshot at {snapshot} is ahead of the entry's base {base}")]
    SnapshotAfterBase {
        /// The transaction's snapshot.
        snapshot: u64,
        /// The entry's base.
        base: u64,
    },
    /// The compressed body cannot be unpacked to its stated length.
    #[error("the compressed body is damaged")]
    Compression,
    /// The bytes are not those that were sealed: damaged on the way to the log, or never an entry. All copies read the same
    /// ones, so it is void on all of them, and its sender sends it again under a new number.
    #[error("the checksum is {found:08x} but should be {expected:08x}")]
    Checksum {
        /// The checksum that the message carries.
        expected: u32,
        /// The checksum of its bytes.
        found: u32,
    },
    /// A newer version of Holdfast wrote this, and its checksum is right. Upgrade this CSP; do not skip the message.
    #[error("it has format version {version}, and this version of holdfast reads up to {known}: upgrade this CSP")]
    NewerFormat {
        /// The format version of the message.
        version: u8,
        /// The newest version that is known here.
        known: u8,
    },
    /// JSON that calls itself a control message and is none.
    #[error("it is no control message: {reason}")]
    Control {
        /// What is wrong with it.
        reason: String,
    },
}

impl EntryError {
    /// True if a newer version reads this message: this copy must stop rather than take it for void.
    ///
    /// Every other error is a function of the bytes alone, thus the same on every copy: the message is void.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::NewerFormat { .. })
    }
}
