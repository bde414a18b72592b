//! What one message of the log says: the bytes, and nothing about what they mean.
//!
//! An entry is a sealed envelope. The outside (`frame`) says who sent it, its number and what the sender had applied when
//! it sealed it; the inside (`batch`) holds transactions. A copy often needs the outside only, so the inside is opened late.
//! Control messages are postcards: plain JSON (`control`).
//!
//! Format of an entry, versions 1 and 2 (integers are little-endian, `varint` is LEB128 of at most 10 bytes):
//!
//! ```text
//! magic     0xB7                  never '{', so that control messages can be told apart by their first byte
//! version   u8                    1 or 2
//! crc32     u32                   of every byte after it
//! flags     u8                    bit 0: the body is an lz4 block; all other bits are 0
//! storage   u16                   SurrealDB storage version of the keys and values
//! epoch, incarnation, number, base, part, parts   varint each
//! chain     16 bytes              the sender's chain value at `base`
//! csp       u8 length, UTF-8      the sender's name
//! clock     varint, varint        from version 2 on: milliseconds since 1970, microseconds since the entry before (`SenderClock`)
//! length    varint                of the body, uncompressed
//! body      the rest              transactions one after the other, or one slice of them
//! ```
//!
//! A transaction inside the body:
//!
//! ```text
//! flags     u8                    bits: stamped, serializable, id, results, locked, reads, ranges
//! local, snapshot                 varint each
//! id        u8 length, UTF-8      only with its flag; so are results (varint length, bytes) and the three last sections
//! writes    u32 length, items     item: varint (key length * 4 + kind), key; then, unless deleted: varint length, value
//! locked    u32 length, items     item: varint length, key
//! reads     u32 length, items     as locked
//! ranges    u32 length, items     item: begin and end, each varint length, key; `begin <= key < end`
//! ```
//!
//! Bytes once written to a log are read for ever: what a version has written does not change, and the files below
//! `fixtures/entry/v1` are decoded by a test. Every later version begins with magic, version and checksum as this one does, with the
//! version under the checksum: by them a copy tells an entry that it must be upgraded for from junk, which is void. Decoding
//! copies nothing but a compressed body, never panics, and checks each length before it allocates.

mod batch;
mod compress;
mod control;
mod encoder;
mod error;
mod frame;
pub mod outcome;
mod outline;
#[cfg(test)]
mod tests;
mod transaction;
pub(crate) mod wire;

pub use batch::Batch;
pub use control::{Control, Isolation, Replication};
pub use encoder::{BatchEncoder, EntryHeader, ON_THE_WAY_US, SenderClock, TransactionHead};
pub use error::EntryError;
pub use frame::Entry;
#[cfg(test)]
pub(crate) use frame::checksum;
pub use transaction::{Keys, Ranges, Transaction, Write, Writes};

/// Most bytes of transactions (uncompressed) that one entry, over all of its parts, may hold.
pub const TRANSACTION_MAX_BYTES: usize = holdfast_schemas::limits::TRANSACTION_MAX_BYTES;
/// Most keys that the transactions of one entry may set or delete together: a copy applies it whole.
pub const WRITES_MAX: usize = holdfast_schemas::limits::TRANSACTION_MAX_WRITES;
/// Most uncompressed bytes in the body of one message: bounds what a small compressed message can make a copy allocate.
pub const BODY_MAX_BYTES: usize = 8 << 20;
/// Most parts that one entry is split into.
pub const PARTS_MAX: u32 = 4_096;
/// Most transactions in one entry: an index inside an entry fits in 16 bits.
pub const TRANSACTIONS_MAX: usize = 65_535;
/// Longest client id of a transaction.
pub const ID_MAX_BYTES: usize = 128;
/// Longest name of a CSP.
pub const CSP_NAME_MAX_BYTES: usize = 64;

/// One message of the log, told apart by its first byte.
#[derive(Debug, Clone)]
pub enum Message {
    /// A control message that this version understands.
    Control(Control),
    /// A sealed envelope of transactions, or one part of it.
    Entry(Entry),
    /// Not a message of Holdfast: void on every copy.
    Foreign,
}

impl Message {
    /// Reads the outside of a log message. An error for which [`EntryError::is_newer`] holds means that this copy
    /// must not go on; any other error means that the message is void on every copy.
    pub fn decode(payload: bytes::Bytes) -> Result<Self, EntryError> {
        match payload.first().copied() {
            Some(b'{') => Ok(Control::decode(&payload)?.map_or(Self::Foreign, Self::Control)),
            Some(frame::MAGIC) => Entry::decode(payload).map(Self::Entry),
            _ => Ok(Self::Foreign),
        }
    }
}
