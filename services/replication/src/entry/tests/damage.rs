//! Whatever the bytes are, decoding returns, and returns what the bytes say or an error.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Owned, open, seal, transaction};
use crate::entry::{Batch, Entry, EntryError, Message};

#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

fn apply(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        match damage {
            Damage::Set(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Set(..) => {}
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
            Damage::Insert(at, inserted) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, inserted.iter().copied());
            }
        }
    }
    bytes
}

/// Goes through all that was decoded: no view may panic.
fn read_all(batch: &Batch) -> usize {
    batch.iter().map(|transaction| format!("{:?}", Owned::of(transaction)).len()).sum()
}

fn with_right_checksum(mut bytes: Vec<u8>) -> Bytes {
    if bytes.len() >= 6 {
        let checksum = crc32fast::hash(&bytes[6..]).to_le_bytes();
        bytes[2..6].copy_from_slice(&checksum);
    }
    bytes.into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn damage_in_transit_is_found(
        transactions in vec(transaction(), 0..4),
        at in any::<Index>(),
        flip in 1_u8..=255,
    ) {
        let mut bytes = seal(&transactions, 1 << 20)[0].to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let result = Message::decode(bytes.into());
        // A flipped first byte makes another kind of message of it; a later one is an error, and never one that stops the copy.
        prop_assert!(at == 0 || result.is_err_and(|error| !error.is_newer()));
    }

    #[test]
    fn damage_under_a_right_checksum_never_panics(
        transactions in vec(transaction(), 0..4),
        damages in vec(damage(), 1..5),
    ) {
        let damaged = with_right_checksum(apply(&seal(&transactions, 1 << 20)[0], &damages));
        if let Ok(Message::Entry(entry)) = Message::decode(damaged)
            && let Ok(batch) = entry.body().and_then(|body| Batch::decode(body, entry.base()))
        {
            read_all(&batch);
        }
    }

    #[test]
    fn a_damaged_body_never_panics(transactions in vec(transaction(), 1..4), damages in vec(damage(), 1..5)) {
        let body = Entry::decode(seal(&transactions, 1 << 20)[0].clone()).unwrap().body().unwrap();
        if let Ok(batch) = Batch::decode(apply(&body, &damages).into(), u64::MAX) {
            read_all(&batch);
        }
    }

    #[test]
    fn noise_never_panics(mut bytes in vec(any::<u8>(), 0..120)) {
        let _ = Batch::decode(bytes.clone().into(), u64::MAX).map(|batch| read_all(&batch));
        bytes.splice(0..0, [0xB7, 1, 0, 0, 0, 0]);
        let _ = Entry::decode(with_right_checksum(bytes)).and_then(|entry| entry.body());
    }

    #[test]
    fn what_decodes_is_what_was_meant(transactions in vec(transaction(), 0..4), damages in vec(damage(), 1..3)) {
        let body = Entry::decode(seal(&transactions, 1 << 20)[0].clone()).unwrap().body().unwrap();
        if let Ok(batch) = Batch::decode(apply(&body, &damages).into(), u64::MAX) {
            let decoded: Vec<Owned> = batch.iter().map(Owned::of).collect();
            let again = open(&seal(&decoded, 1 << 20)).unwrap();
            prop_assert_eq!(again.iter().map(Owned::of).collect::<Vec<_>>(), decoded);
        }
    }
}

#[test]
fn every_cut_is_an_error() {
    let message = seal(&[super::round_trip::blank()], 1_000)[0].clone();
    for length in 1..message.len() {
        let cut = with_right_checksum(message[..length].to_vec());
        let opened = Entry::decode(cut).and_then(|entry| Batch::decode(entry.body()?, u64::MAX));
        assert!(matches!(opened, Err(EntryError::Truncated { .. } | EntryError::Checksum { .. })), "cut at {length}");
    }
}
