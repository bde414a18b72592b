//! The inside of an entry: the transactions of one body, found and checked in one pass.

use bytes::Bytes;

use super::error::EntryError;
use super::outline::Outline;
use super::transaction::Transaction;
use super::wire::Reader;
use super::{TRANSACTION_MAX_BYTES, TRANSACTIONS_MAX};

/// The transactions of an entry, as views over its body. Cloning copies the outlines and shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    body: Bytes,
    outlines: Vec<Outline>,
}

impl Batch {
    /// Finds the transactions of an uncompressed body and checks all of it; `base` is that of the entry.
    pub fn decode(body: Bytes, base: u64) -> Result<Self, EntryError> {
        if body.len() > TRANSACTION_MAX_BYTES {
            let limit = TRANSACTION_MAX_BYTES as u64;
            return Err(EntryError::TooLarge { what: "body", value: body.len() as u64, limit });
        }
        let mut outlines = Vec::new();
        let mut reader = Reader::new(&body);
        while !reader.is_empty() {
            let outline = Outline::decode(&mut reader)?;
            let snapshot = outline.snapshot;
            if snapshot > base {
                return Err(EntryError::SnapshotAfterBase { snapshot, base });
            }
            if outlines.len() >= TRANSACTIONS_MAX {
                let limit = TRANSACTIONS_MAX as u64;
                return Err(EntryError::TooLarge { what: "transactions", value: limit + 1, limit });
            }
            outlines.push(outline);
        }
        Ok(Self { body, outlines })
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.outlines.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.outlines.is_empty()
    }

    /// Whether its transactions set or delete more keys than `writes_max` together.
    pub fn exceeds(&self, writes_max: usize) -> bool {
        // Each takes a byte at least, so nearly always its length says enough.
        self.body.len() > writes_max && self.writes() > writes_max
    }

    /// How many keys its transactions set or delete.
    pub fn writes(&self) -> usize {
        self.iter().map(|transaction| transaction.writes().count()).sum()
    }

    /// The transaction at an index.
    pub fn get(&self, index: usize) -> Option<Transaction<'_>> {
        self.outlines.get(index).map(|outline| Transaction::new(&self.body, outline))
    }

    /// All transactions in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Transaction<'_>> {
        self.outlines.iter().map(|outline| Transaction::new(&self.body, outline))
    }

    /// The body that the views look into: `body().slice_ref(key)` keeps a key without copying it.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}
