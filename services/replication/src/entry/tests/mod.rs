//! Tests of the entry format: what is encoded is what is decoded, damage is found, and old bytes stay readable.

mod damage;
mod golden;
mod limits;
mod round_trip;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Batch, BatchEncoder, Entry, EntryHeader, Transaction, TransactionHead, Write};

/// A transaction that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    pub local: u64,
    pub snapshot: u64,
    pub stamped: bool,
    pub serializable: bool,
    pub id: Option<String>,
    pub results: Option<Vec<u8>>,
    pub writes: Vec<(Vec<u8>, Option<Vec<u8>>, bool)>,
    pub locked: Vec<Vec<u8>>,
    pub reads: Vec<Vec<u8>>,
    pub ranges: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Owned {
    pub fn push_to(&self, encoder: &mut BatchEncoder) -> Result<(), super::EntryError> {
        let head = TransactionHead {
            local: self.local,
            snapshot: self.snapshot,
            stamped: self.stamped,
            serializable: self.serializable,
            id: self.id.as_deref(),
            fingerprint: None,
            results: self.results.as_deref(),
        };
        let writes =
            self.writes.iter().map(|(key, value, stamped)| Write { key, value: value.as_deref(), stamped: *stamped });
        let ranges = self.ranges.iter().map(|(begin, end)| (begin.as_slice(), end.as_slice()));
        let [locked, reads] = [&self.locked, &self.reads].map(|keys| keys.iter().map(Vec::as_slice));
        encoder.push(&head, writes, locked, reads, ranges)
    }

    pub fn of(transaction: Transaction<'_>) -> Self {
        let writes =
            transaction.writes().map(|write| (write.key.to_vec(), write.value.map(<[u8]>::to_vec), write.stamped));
        Self {
            local: transaction.local(),
            snapshot: transaction.snapshot(),
            stamped: transaction.stamped(),
            serializable: transaction.serializable(),
            id: transaction.id().map(str::to_owned),
            results: transaction.results().map(<[u8]>::to_vec),
            writes: writes.collect(),
            locked: transaction.locked().map(<[u8]>::to_vec).collect(),
            reads: transaction.reads().map(<[u8]>::to_vec).collect(),
            ranges: transaction.ranges().map(|(begin, end)| (begin.to_vec(), end.to_vec())).collect(),
        }
    }
}

pub(super) const HEADER: EntryHeader<'static> = EntryHeader {
    storage_version: 3,
    epoch: 7,
    csp: "node-1",
    incarnation: 1_790_000_000_000_000,
    number: 41,
    base: u64::MAX,
    base_chain: *b"0123456789abcdef",
    clock: None,
};

pub(super) fn seal(transactions: &[Owned], message_max_bytes: usize) -> Vec<Bytes> {
    let mut encoder = BatchEncoder::new();
    for transaction in transactions {
        transaction.push_to(&mut encoder).unwrap();
    }
    encoder.finish(&HEADER, message_max_bytes).unwrap()
}

/// Opens messages as one entry.
pub(super) fn open(messages: &[Bytes]) -> Result<Batch, super::EntryError> {
    let mut body = BytesMut::new();
    let mut base = 0;
    for message in messages {
        let entry = Entry::decode(message.clone())?;
        base = entry.base();
        body.extend_from_slice(&entry.body()?);
    }
    Batch::decode(body.freeze(), base)
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..12), vec(Just(b'k'), 100..300)]
}

pub(super) fn transaction() -> impl Strategy<Value = Owned> {
    let head = (any::<u64>(), any::<u64>(), any::<bool>(), any::<bool>());
    let text = (proptest::option::of("[a-zA-Z0-9é]{1,40}"), proptest::option::of(vec(any::<u8>(), 0..60)));
    let writes = vec((key(), proptest::option::of(vec(any::<u8>(), 0..200)), proptest::bool::weighted(0.1)), 0..6);
    let reads = (vec(key(), 0..3), vec(key(), 0..3), vec((key(), key()), 0..3));
    (head, text, writes, reads).prop_map(|((local, snapshot, stamped, serializable), (id, results), writes, reads)| {
        Owned {
            local,
            snapshot,
            stamped: stamped || writes.iter().any(|write| write.2),
            serializable,
            id,
            results,
            writes,
            locked: reads.0,
            reads: reads.1,
            ranges: reads.2,
        }
    })
}
