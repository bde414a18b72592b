//! Whatever the rules let through fits into the smallest copy.

use holdfast_storage::{CopyOptions, StorageKind};
use proptest::prelude::*;

use super::*;
use crate::entry::{Batch, BatchEncoder, EntryHeader, TRANSACTIONS_MAX, TransactionHead, Write};
use crate::model::{Decision, Record, Verdict};

/// One transaction: length of its id, length of its results, and the lengths of key and value of its writes.
type Shape = (Option<u8>, Option<usize>, Vec<(usize, Option<usize>)>);

fn pushed(encoder: &mut BatchEncoder, number: usize, (id, results, writes): &Shape) -> bool {
    let id = id.map(|length| format!("{number:0width$}", width = usize::from(length)));
    let results = results.map(|length| vec![b'r'; length]);
    let keys: Vec<Vec<u8>> = (0..writes.len())
        .zip(writes)
        .map(|(index, (key, _))| {
            let unique = ((number as u64) << 32) | index as u64;
            [unique.to_be_bytes().as_slice(), &vec![b'k'; *key]].concat()
        })
        .collect();
    let values: Vec<Option<Vec<u8>>> = writes.iter().map(|(_, value)| value.map(|length| vec![b'v'; length])).collect();
    let writes = keys.iter().zip(&values).map(|(key, value)| Write { key, value: value.as_deref(), stamped: false });
    let head = TransactionHead { id: id.as_deref(), results: results.as_deref(), ..TransactionHead::default() };
    encoder.push(&head, writes, [], [], []).is_ok()
}

/// What a copy would be given for one entry with all that was accepted.
fn applied(encoder: &mut BatchEncoder, position: Position) -> Applied {
    let header = EntryHeader {
        storage_version: 1,
        epoch: 1,
        csp: "a",
        incarnation: 1,
        number: 1,
        base: 0,
        base_chain: [0; 16],
        clock: None,
    };
    let messages = encoder.finish(&header, 8 << 20).expect("sealed");
    let mut body = Vec::new();
    for message in messages {
        let entry = crate::entry::Entry::decode(message).expect("an entry");
        body.extend_from_slice(&entry.body().expect("a body"));
    }
    let batch = Batch::decode(body.into(), 0).expect("a batch");
    assert!(!batch.exceeds(WRITES_MAX), "the rules would not let it through");
    let decisions = vec![Decision { verdict: Verdict::Accepted, stamp: None }; batch.len()];
    Applied {
        position,
        log_time_ms: 1,
        entry: None,
        outcome: Outcome::Batch(AppliedBatch::new(batch, decisions)),
        record: Some(Record::Refused(vec![1; TRANSACTIONS_MAX.div_ceil(8)])),
        expired_ids: (1..100_000).collect(),
    }
}

fn state() -> AppliedState {
    AppliedState { horizon: 100_000, position: 200_000, primary: Some("p".repeat(64)), ..AppliedState::genesis() }
}

/// The write buffer that is needed for an entry behind what was gathered.
fn needed_for(encoder: &mut BatchEncoder) -> u64 {
    let mut refusals: BTreeSet<Position> = (1..100_000).collect();
    let mut buffer = ApplyBuffer::default();
    buffer.add(applied(encoder, 200_000), &mut refusals);
    buffer.clean_up(state().horizon, &mut refusals);
    let state = encode_applied(&state(), &KnownLog::default());
    needed(&buffer.writes(&state))
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let write = (0..60_usize, proptest::option::of(0..200_usize));
    let writes = proptest::collection::vec(write, 0..30);
    let shape = (proptest::option::of(1..=128_u8), proptest::option::of(0..2_000_usize), writes);
    proptest::collection::vec(shape, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// An entry takes no more than its own bytes and writes, and what is set aside for ours.
    #[test]
    fn an_entry_takes_what_the_rules_say(shapes in shapes()) {
        let mut encoder = BatchEncoder::new();
        let mut writes = 0;
        for (number, shape) in shapes.iter().enumerate() {
            prop_assert!(pushed(&mut encoder, number + 1, shape));
            writes += shape.2.len();
        }
        let most = arena_bytes(writes as u64, encoder.length() as u64) + OWN_MAX_BYTES;
        prop_assert!(needed_for(&mut encoder) <= most);
    }
}

#[test]
fn the_worst_entries_fit() {
    let most = WRITE_BUFFER_MIN_BYTES - GATHERED_MAX_BYTES;
    let mut encoder = BatchEncoder::new();
    // As many ids as there can be, and then as many writes and bytes as there can be.
    for number in 1..TRANSACTIONS_MAX {
        assert!(pushed(&mut encoder, number, &(Some(8), None, Vec::new())));
    }
    let value = (TRANSACTION_MAX_BYTES - encoder.length()) / WRITES_MAX - 8 - 4;
    assert!(pushed(&mut encoder, TRANSACTIONS_MAX, &(None, None, vec![(0, Some(value)); WRITES_MAX])));
    assert!(needed_for(&mut encoder) <= most);
    // Nearly all of it results.
    assert!(pushed(&mut encoder, 1, &(Some(8), Some(TRANSACTION_MAX_BYTES - 100), Vec::new())));
    assert!(needed_for(&mut encoder) <= most);
}

/// The largest entry behind as much as is gathered before it, on a copy with the least memory; and it opens again.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_commit_is_taken_by_the_smallest_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = CopyOptions {
        kind: StorageKind::SurrealKv,
        path: folder.path().to_path_buf(),
        memory_bytes: holdfast_storage::least_memory_bytes(WRITE_BUFFER_MIN_BYTES),
        write_buffer_min_bytes: WRITE_BUFFER_MIN_BYTES,
    };
    let mut encoder = BatchEncoder::new();
    let mut refusals: BTreeSet<Position> = (1..100_000).collect();
    let mut buffer = ApplyBuffer::cleaning_up((1..100_000).collect());
    let mut position = 200_000;
    while !buffer.is_full() {
        position += 1;
        assert!(pushed(&mut encoder, position, &(Some(8), Some(10), vec![(20, Some(80)); 500])));
        buffer.add(applied(&mut encoder, position as Position), &mut refusals);
    }
    let value = TRANSACTION_MAX_BYTES / WRITES_MAX - 8 - 5;
    assert!(pushed(&mut encoder, position + 1, &(Some(8), None, vec![(0, Some(value)); WRITES_MAX])));
    buffer.add(applied(&mut encoder, position as Position + 1), &mut refusals);
    let copy = Copy::open(&options).await.expect("opens");
    buffer.write(&copy, &state(), &KnownLog::default(), &mut refusals).await.expect("it fits");
    // What a process that is killed now leaves behind: the engine has flushed nothing, and reads its own log again.
    let killed = tempfile::tempdir().expect("a folder");
    copy_files(folder.path(), killed.path());
    let options = CopyOptions { path: killed.path().to_path_buf(), ..options };
    let again = Copy::open(&options).await.expect("opens again");
    let snapshot = again.snapshot().await.expect("a view");
    assert_eq!(snapshot.applied().await.expect("reads").0, state().position);
    snapshot.close().await;
    again.close().await.expect("closes");
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let from = entry.expect("an entry").path();
        let to = to.join(from.file_name().expect("a name"));
        if from.is_dir() {
            copy_files(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("copied");
        }
    }
}

/// Whatever there is to clean up is cleaned up by and by.
#[tokio::test(flavor = "multi_thread")]
async fn what_expired_goes_by_and_by() {
    let options = CopyOptions {
        kind: StorageKind::Memory,
        path: std::path::PathBuf::new(),
        memory_bytes: 0,
        write_buffer_min_bytes: 0,
    };
    let copy = Copy::open(&options).await.expect("opens");
    let count = 2 * CLEANED_MAX as Position + 1;
    let keys: Vec<_> = (1..=count).map(|position| reserved::at(reserved::IDS, position)).collect();
    let kept = KeptIds::new(1);
    copy.apply(keys.iter().map(|key| (Cow::from(key.as_slice()), Some(kept.as_bytes()))).collect()).await.expect("set");
    let mut buffer = ApplyBuffer::cleaning_up((1..=count).collect());
    let mut refusals = BTreeSet::new();
    for left in [count - CLEANED_MAX as Position, 1, 0] {
        buffer.write(&copy, &state(), &KnownLog::default(), &mut refusals).await.expect("written");
        let snapshot = copy.snapshot().await.expect("a view");
        let mut there = 0;
        for key in &keys {
            there += u64::from(snapshot.get(key).await.expect("reads").is_some());
        }
        snapshot.close().await;
        assert_eq!(there, left);
    }
}

#[test]
fn what_is_known_of_the_log_comes_back_and_may_be_missing() {
    let state = AppliedState { position: 7, stamp: 9, ..AppliedState::genesis() };
    let mark = LogMark { timestamp_us: 11, digest: u128::MAX - 3 };
    let known = KnownLog { position: 7, created_us: Some(5), mark: Some(mark) };
    assert_eq!(decode_applied(&encode_applied(&state, &known)), Ok((state.clone(), known)));
    let unknown = KnownLog { position: 7, created_us: None, mark: None };
    assert_eq!(decode_applied(&encode_applied(&state, &unknown)), Ok((state, unknown)));
}

/// What the refused write is neither told nor needs room.
#[test]
fn locks_and_room_are_of_accepted_transactions_only() {
    let mut encoder = BatchEncoder::new();
    for (name, others) in [("first", 3), ("refused", 50), ("second", 0)] {
        let (lock, other) = (reserved::lock(name), b"other".as_slice());
        let write = |key| Write { key, value: None, stamped: false };
        let writes = std::iter::once(write(lock.as_slice())).chain((0..others).map(|_| write(other)));
        encoder.push(&TransactionHead::default(), writes, [], [], []).expect("fits");
    }
    let mut applied = applied(&mut encoder, 7);
    let Outcome::Batch(whole) = &applied.outcome else { panic!("a batch") };
    let verdict = |index| if index == 1 { Verdict::ReadsUnknown } else { Verdict::Accepted };
    let decisions = (0..whole.len()).map(|index| Decision { verdict: verdict(index), stamp: None }).collect();
    let body_bytes = whole.batch().body().len() as u64;
    (applied.outcome, applied.record) = (Outcome::Batch(AppliedBatch::new(whole.batch().clone(), decisions)), None);
    let mut buffer = ApplyBuffer::default();
    buffer.add(applied, &mut BTreeSet::new());
    assert_eq!(buffer.gathered_bytes, 5 * WRITE_BYTES + body_bytes);
    let names: Vec<_> = buffer.take_locks().into_iter().map(|write| write.name.into_string()).collect();
    assert_eq!(names, ["first", "second"]);
    assert!(buffer.take_locks().is_empty(), "they are told once");
}
