//! Limits hold when encoding, and again when decoding.

use super::round_trip::blank;
use super::{HEADER, Owned, open, seal};
use crate::entry::wire::put_varint;
use crate::entry::{Batch, Entry, EntryHeader};
use crate::entry::{BatchEncoder, EntryError, TRANSACTION_MAX_BYTES, TRANSACTIONS_MAX, WRITES_MAX};

#[test]
fn a_refused_transaction_leaves_the_batch_as_it_was() {
    let mut encoder = BatchEncoder::new();
    blank().push_to(&mut encoder).unwrap();
    let before = encoder.length();
    let too_long = Owned { id: Some("i".repeat(129)), ..blank() };
    assert!(matches!(too_long.push_to(&mut encoder), Err(EntryError::TooLarge { what: "id", .. })));
    let huge = Owned { writes: vec![(Vec::new(), Some(vec![0; TRANSACTION_MAX_BYTES]), false)], ..blank() };
    assert!(matches!(huge.push_to(&mut encoder), Err(EntryError::TooLarge { what: "transaction", .. })));
    assert_eq!((encoder.length(), encoder.transactions()), (before, 1));
}

#[test]
fn the_number_of_transactions_is_bounded() {
    let mut encoder = BatchEncoder::new();
    for _ in 0..TRANSACTIONS_MAX {
        blank().push_to(&mut encoder).unwrap();
    }
    assert!(matches!(blank().push_to(&mut encoder), Err(EntryError::TooLarge { what: "transactions", .. })));
    let body = Entry::decode(encoder.finish(&HEADER, 8 << 20).unwrap()[0].clone()).unwrap().body().unwrap();
    assert_eq!(Batch::decode(body.clone(), u64::MAX).unwrap().len(), TRANSACTIONS_MAX);
    let one_more = [&body[..], &body[..body.len() / TRANSACTIONS_MAX]].concat();
    assert!(matches!(Batch::decode(one_more.into(), u64::MAX), Err(EntryError::TooLarge { what: "transactions", .. })));
}

#[test]
fn the_number_of_writes_in_an_entry_is_bounded() {
    let mut encoder = BatchEncoder::new();
    let many = |count: usize| Owned { writes: vec![(b"k".to_vec(), None, false); count], ..blank() };
    many(WRITES_MAX - 1).push_to(&mut encoder).unwrap();
    let before = encoder.length();
    assert!(matches!(many(2).push_to(&mut encoder), Err(EntryError::TooLarge { what: "writes", .. })));
    assert_eq!(encoder.length(), before, "the next entry takes it");
    many(1).push_to(&mut encoder).unwrap();
    let batch = open(&encoder.finish(&HEADER, 8 << 20).unwrap()).unwrap();
    assert!(!batch.exceeds(WRITES_MAX) && batch.exceeds(WRITES_MAX - 1));
    many(WRITES_MAX).push_to(&mut encoder).unwrap();
}

#[test]
fn a_snapshot_ahead_of_the_base_is_malformed() {
    let body = Entry::decode(seal(&[Owned { snapshot: 9, ..blank() }], 1_000)[0].clone()).unwrap().body().unwrap();
    assert!(Batch::decode(body.clone(), 9).is_ok());
    assert_eq!(Batch::decode(body, 8), Err(EntryError::SnapshotAfterBase { snapshot: 9, base: 8 }));
}

#[test]
fn names_are_bounded() {
    let long = "c".repeat(65);
    for csp in ["", long.as_str()] {
        let header = EntryHeader { csp, ..HEADER };
        assert!(BatchEncoder::new().finish(&header, 1_000).is_err(), "{csp}");
    }
}

#[test]
fn a_stated_length_is_checked_before_memory_is_taken() {
    // A compressed body of one byte that claims to be large.
    let message = seal(&[Owned { writes: vec![(vec![1; 2_000], None, false)], ..blank() }], 1 << 20)[0].clone();
    let entry = Entry::decode(message.clone()).unwrap();
    let stated = entry.body_length() as u64;
    let mut prefix = Vec::new();
    put_varint(&mut prefix, stated);
    let at = message.windows(prefix.len()).position(|window| window == prefix).unwrap();
    let forge = |length: u64| {
        let mut forged = message[..at].to_vec();
        put_varint(&mut forged, length);
        forged.push(0);
        let checksum = crc32fast::hash(&forged[6..]).to_le_bytes();
        forged[2..6].copy_from_slice(&checksum);
        Entry::decode(forged.into())
    };
    assert_eq!(forge(1 << 20).unwrap().body(), Err(EntryError::Compression));
    assert!(matches!(forge(1 << 40), Err(EntryError::TooLarge { what: "body", .. })));
}

#[test]
fn the_largest_transaction_fits_in_parts() {
    let value = TRANSACTION_MAX_BYTES - 100;
    let large = Owned { writes: vec![(b"key".to_vec(), Some(vec![1; value]), false)], ..blank() };
    let messages = seal(std::slice::from_ref(&large), 512 << 10);
    assert_eq!(messages.len(), 128);
    assert_eq!(open(&messages).unwrap().get(0).unwrap().writes().next().unwrap().value.map(<[u8]>::len), Some(value));
}
