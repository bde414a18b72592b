//! Packs transactions that wait for the log into one buffer, and seals it into messages.

use bytes::Bytes;

use super::error::EntryError;
use super::outcome;
use super::transaction::{Write, flags, kind};
use super::wire::{put_prefixed, put_varint};
use super::{
    BODY_MAX_BYTES, CSP_NAME_MAX_BYTES, ID_MAX_BYTES, PARTS_MAX, TRANSACTION_MAX_BYTES, TRANSACTIONS_MAX, WRITES_MAX,
    frame,
};

/// The outside of an entry to be sealed. `base` and `base_chain` are read when sealing, after all of its transactions were
/// captured: a snapshot is then never ahead of the base.
#[derive(Debug, Clone, Copy)]
pub struct EntryHeader<'a> {
    /// SurrealDB storage version of the keys and values.
    pub storage_version: u16,
    /// Epoch that the sender has applied.
    pub epoch: u64,
    /// Name of the sending CSP.
    pub csp: &'a str,
    /// Start of the sender's process.
    pub incarnation: u64,
    /// The sender's number of the first message; further parts take the numbers that follow.
    pub number: u64,
    /// Position that the sender has applied.
    pub base: u64,
    /// The chain value there.
    pub base_chain: [u8; 16],
    /// What the sender knows of the time; none in entries of the first senders.
    pub clock: Option<SenderClock>,
}

/// What the sender of an entry knows of the time when it seals it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderClock {
    /// Its clock on the wall, in milliseconds since 1970. It never jumps while the process lives (see `foundation::clock::Steady`).
    pub wall_ms: u64,
    /// What has passed, by a clock that nobody sets, since it sealed its last entry, or since it applied the last message of the
    /// log if that was later, and at most [`ON_THE_WAY_US`] more: in microseconds.
    pub since_us: u64,
}

/// How long a message is taken to be on its way from the log to a copy at most, when a copy says what has passed since.
pub const ON_THE_WAY_US: u64 = 100_000;

/// What a transaction says besides its keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct TransactionHead<'a> {
    /// The sender's own number, by which it finds who waits for the outcome.
    pub local: u64,
    /// Position that the transaction read at.
    pub snapshot: u64,
    /// True if the copies have to put a stamp of the log into its keys or values.
    pub stamped: bool,
    /// True if what it read was captured, as serializable groups demand.
    pub serializable: bool,
    /// The client's id.
    pub id: Option<&'a str>,
    /// What is asked for under the id, as one number; stands in front of the results (`outcome`).
    pub fingerprint: Option<u64>,
    /// What the client is told, again if it asks again.
    pub results: Option<&'a [u8]>,
}

/// Collects transactions in one buffer that is used again for the next batch.
#[derive(Debug, Default)]
pub struct BatchEncoder {
    body: Vec<u8>,
    transactions: usize,
    writes: usize,
}

impl BatchEncoder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes collected so far, uncompressed.
    pub fn length(&self) -> usize {
        self.body.len()
    }

    /// Transactions collected so far.
    pub fn transactions(&self) -> usize {
        self.transactions
    }

    /// True if nothing is collected.
    pub fn is_empty(&self) -> bool {
        self.transactions == 0
    }

    /// Adds a transaction behind the others. Refused, and not added, if it (or the batch with it) is above a limit:
    /// a batch that is not empty can be sealed and the transaction be put into the next one.
    pub fn push<'a>(
        &mut self,
        head: &TransactionHead<'_>,
        writes: impl IntoIterator<Item = Write<'a>>,
        locked: impl IntoIterator<Item = &'a [u8]>,
        reads: impl IntoIterator<Item = &'a [u8]>,
        ranges: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), EntryError> {
        let (start, writes_before) = (self.body.len(), self.writes);
        let added = self.check_head(head).and_then(|()| {
            let flags_at = self.put_head(head);
            let stamped = self.put_writes(writes)?;
            self.body[flags_at] |= if stamped { flags::STAMPED } else { 0 };
            self.put_keys(flags_at, flags::LOCKED, locked)?;
            self.put_keys(flags_at, flags::READS, reads)?;
            self.put_ranges(flags_at, ranges)
        });
        match added {
            Ok(()) => self.transactions += 1,
            Err(_) => {
                self.body.truncate(start);
                self.writes = writes_before;
            }
        }
        added
    }

    /// Seals what was collected into one message or, if that would be larger than `message_max_bytes`, into several with
    /// consecutive numbers, to be published in this order with nothing of the same CSP in between. Empties the encoder.
    pub fn finish(&mut self, header: &EntryHeader<'_>, message_max_bytes: usize) -> Result<Vec<Bytes>, EntryError> {
        if header.csp.is_empty() || header.csp.len() > CSP_NAME_MAX_BYTES {
            return Err(EntryError::Text { what: "name of the CSP" });
        }
        let slice = message_max_bytes.clamp(1, BODY_MAX_BYTES);
        let parts = self.body.len().div_ceil(slice).max(1);
        let parts = match u32::try_from(parts) {
            Ok(parts) if parts <= PARTS_MAX => parts,
            _ => return Err(too_large("parts", parts, PARTS_MAX as usize)),
        };
        let mut messages = Vec::with_capacity(parts as usize);
        for part in 0..parts {
            let start = part as usize * slice;
            let end = self.body.len().min(start + slice);
            let number = header.number + u64::from(part);
            messages.push(frame::seal(header, number, part, parts, &self.body[start..end]));
        }
        self.clear();
        Ok(messages)
    }

    /// Drops what was collected.
    pub fn clear(&mut self) {
        self.body.clear();
        // A huge transaction must not hold its memory for ever.
        self.body.shrink_to(BODY_MAX_BYTES);
        self.transactions = 0;
        self.writes = 0;
    }

    fn check_head(&self, head: &TransactionHead<'_>) -> Result<(), EntryError> {
        if self.transactions >= TRANSACTIONS_MAX {
            return Err(too_large("transactions", self.transactions + 1, TRANSACTIONS_MAX));
        }
        match head.id {
            Some(id) if id.len() > ID_MAX_BYTES => Err(too_large("id", id.len(), ID_MAX_BYTES)),
            Some("") => Err(EntryError::Text { what: "id" }),
            _ => Ok(()),
        }
    }

    fn put_head(&mut self, head: &TransactionHead<'_>) -> usize {
        let flags_at = self.body.len();
        let bit = |set: bool, flag: u8| if set { flag } else { 0 };
        self.body.push(
            bit(head.stamped, flags::STAMPED)
                | bit(head.serializable, flags::SERIALIZABLE)
                | bit(head.id.is_some(), flags::ID)
                | bit(head.results.is_some() || head.fingerprint.is_some(), flags::RESULTS),
        );
        put_varint(&mut self.body, head.local);
        put_varint(&mut self.body, head.snapshot);
        if let Some(id) = head.id {
            self.body.push(id.len() as u8);
            self.body.extend_from_slice(id.as_bytes());
        }
        outcome::put(&mut self.body, head.fingerprint, head.results);
        flags_at
    }

    fn put_writes<'a>(&mut self, writes: impl IntoIterator<Item = Write<'a>>) -> Result<bool, EntryError> {
        let section = self.open_section();
        let mut stamped = false;
        for write in writes {
            let kind = match (write.value, write.stamped) {
                (None, false) => kind::DELETE,
                (None, true) => kind::DELETE_STAMPED,
                (Some(_), false) => kind::SET,
                (Some(_), true) => kind::SET_STAMPED,
            };
            stamped |= write.stamped;
            put_varint(&mut self.body, ((write.key.len() as u64) << kind::BITS) | kind);
            self.body.extend_from_slice(write.key);
            if let Some(value) = write.value {
                put_prefixed(&mut self.body, value);
            }
            self.writes += 1;
            if self.writes > WRITES_MAX {
                return Err(too_large("writes", self.writes, WRITES_MAX));
            }
            self.check_size()?;
        }
        self.close_section(section)?;
        Ok(stamped)
    }

    fn put_keys<'a>(
        &mut self,
        flags_at: usize,
        flag: u8,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), EntryError> {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return Ok(());
        }
        self.body[flags_at] |= flag;
        let section = self.open_section();
        for key in keys {
            put_prefixed(&mut self.body, key);
            self.check_size()?;
        }
        self.close_section(section)
    }

    fn put_ranges<'a>(
        &mut self,
        flags_at: usize,
        ranges: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), EntryError> {
        let bounds = ranges.into_iter().flat_map(|(begin, end)| [begin, end]);
        self.put_keys(flags_at, flags::RANGES, bounds)
    }

    fn open_section(&mut self) -> usize {
        let section = self.body.len();
        self.body.extend_from_slice(&[0; 4]);
        section
    }

    fn close_section(&mut self, section: usize) -> Result<(), EntryError> {
        self.check_size()?;
        let length = (self.body.len() - section - 4) as u32;
        self.body[section..section + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    fn check_size(&self) -> Result<(), EntryError> {
        if self.body.len() > TRANSACTION_MAX_BYTES {
            return Err(too_large("transaction", self.body.len(), TRANSACTION_MAX_BYTES));
        }
        Ok(())
    }
}

fn too_large(what: &'static str, value: usize, limit: usize) -> EntryError {
    EntryError::TooLarge { what, value: value as u64, limit: limit as u64 }
}
