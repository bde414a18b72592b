//! The rules one by one, as examples.

use bytes::Bytes;

use super::log::{Letter, Log, Meant, Outside, Sent, control, seal};
use super::{STORAGE_VERSION, Seen};
use crate::entry::{Control, EntryError, Isolation, Replication, SenderClock, checksum};
use crate::model::{
    Applied, AppliedState, Broken, Cause, Certifier, Limits, LogClock, LogMessage, Outcome, Place, Verdict, VoidReason,
};

/// A log and its certifier, with two senders.
struct Bench {
    log: Log,
    certifier: Certifier,
    numbers: [u64; 2],
}

const NAMES: [&str; 2] = ["a", "b"];

impl Bench {
    fn new(replication: Replication) -> Self {
        let mut bench = Self { log: Log::default(), certifier: Certifier::new(STORAGE_VERSION), numbers: [0; 2] };
        let isolation = Isolation::Serializable;
        bench.append(control(Control::Define { group: "g".to_owned(), replication, isolation, ids_kept_ms: 60_000 }));
        bench
    }

    fn append(&mut self, letter: Letter) -> Applied {
        self.append_at(1_000 * (self.log.end() + 1), letter)
    }

    fn append_at(&mut self, time_ms: u64, letter: Letter) -> Applied {
        self.log.append(time_ms * 1_000, letter);
        let message = self.log.messages[self.log.messages.len() - 1].0.clone();
        self.certifier.apply(message).unwrap()
    }

    fn outside(&mut self, sender: usize, base: u64) -> Outside {
        self.numbers[sender] += 1;
        let (csp, number, epoch) = (NAMES[sender], self.numbers[sender], self.log.epoch_at(base));
        Outside { csp, incarnation: 1, number, epoch, base, part: 0, parts: 1, clock: None }
    }

    fn letter(&mut self, sender: usize, base: u64, transactions: Vec<Meant>) -> Letter {
        let outside = self.outside(sender, base);
        seal(&outside, self.log.chain_at(base), transactions, 1 << 20).remove(0)
    }

    /// An entry of one sender that has applied everything.
    fn entry(&mut self, sender: usize, transactions: Vec<Meant>) -> Seen {
        let letter = self.letter(sender, self.log.end(), transactions);
        Seen::of(&self.append(letter))
    }

    fn one(&mut self, sender: usize, meant: Meant) -> Verdict {
        match self.entry(sender, vec![meant]) {
            Seen::Batch(decisions) => decisions[0].0,
            Seen::Void(reason) => Verdict::Void(reason),
            other => panic!("{other:?}"),
        }
    }
}

fn writes(snapshot: u64, keys: &[&str]) -> Meant {
    let writes = keys.iter().map(|key| (key.as_bytes().to_vec(), false)).collect();
    Meant { snapshot, serializable: true, writes, ..Meant::default() }
}

fn with_id(id: &str, meant: Meant) -> Meant {
    Meant { id: Some(id.to_owned()), ..meant }
}

#[test]
fn the_first_committer_wins_also_without_reading() {
    let mut bench = Bench::new(Replication::Peer);
    assert_eq!(bench.one(0, writes(1, &["x"])), Verdict::Accepted);
    assert_eq!(bench.one(1, writes(1, &["x"])), Verdict::Conflict { position: 2, cause: Cause::Written });
    assert_eq!(bench.one(1, writes(2, &["x"])), Verdict::Accepted);
}

#[test]
fn what_is_before_in_the_same_entry_counts_as_after_the_snapshot() {
    let mut bench = Bench::new(Replication::Peer);
    let both = vec![writes(1, &["x"]), writes(1, &["x", "y"]), writes(1, &["y"])];
    let conflict = Verdict::Conflict { position: 2, cause: Cause::Written };
    let expected = [Verdict::Accepted, conflict, Verdict::Accepted].map(|verdict| (verdict, None));
    assert_eq!(bench.entry(0, both), Seen::Batch(expected.to_vec()), "a refused transaction wrote nothing");
}

#[test]
fn what_was_locked_read_or_scanned_must_not_change() {
    let mut bench = Bench::new(Replication::Peer);
    bench.one(0, writes(1, &["m"]));
    let base = || writes(1, &["other"]);
    let key = || vec![b"m".to_vec()];
    let range = |begin: &str, end: &str| vec![(begin.as_bytes().to_vec(), end.as_bytes().to_vec())];
    let conflict = |cause| Verdict::Conflict { position: 2, cause };
    assert_eq!(bench.one(1, Meant { locked: key(), ..base() }), conflict(Cause::Locked));
    assert_eq!(bench.one(1, Meant { reads: key(), ..base() }), conflict(Cause::Read));
    assert_eq!(bench.one(1, Meant { ranges: range("a", "n"), ..base() }), conflict(Cause::Range));
    assert_eq!(bench.one(1, Meant { ranges: range("m", "m\0"), ..base() }), conflict(Cause::Range));
    assert_eq!(bench.one(1, Meant { ranges: range("a", "m"), ..base() }), Verdict::Accepted, "the end is not in it");
}

#[test]
fn a_snapshot_group_certifies_writes_locks_and_named_ranges() {
    let mut bench = Bench::new(Replication::Peer);
    let isolation = Isolation::Snapshot;
    let define = Control::Define { group: "g".to_owned(), replication: Replication::Peer, isolation, ids_kept_ms: 0 };
    bench.append(control(define));
    bench.one(0, writes(2, &["m"]));
    let reads = Meant { reads: vec![b"m".to_vec()], serializable: false, ..writes(2, &["other"]) };
    assert_eq!(bench.one(1, reads), Verdict::Accepted);
    let locks = Meant { locked: vec![b"m".to_vec()], ..writes(2, &["third"]) };
    assert_eq!(bench.one(1, locks), Verdict::Conflict { position: 3, cause: Cause::Locked });
    let ranges = vec![(b"a".to_vec(), b"n".to_vec())];
    let builds = Meant { ranges, serializable: false, ..writes(2, &["index"]) };
    assert_eq!(bench.one(1, builds), Verdict::Conflict { position: 3, cause: Cause::Range });
}

#[test]
fn reads_that_were_not_captured_are_not_serializable() {
    let mut bench = Bench::new(Replication::Peer);
    assert_eq!(bench.one(0, Meant { serializable: false, ..writes(1, &["x"]) }), Verdict::ReadsUnknown);
}

#[test]
fn stamped_keys_do_not_conflict_and_stamps_rise() {
    let mut bench = Bench::new(Replication::Peer);
    let stamped = || Meant { stamped: true, writes: vec![(b"#ffff".to_vec(), true)], ..writes(1, &[]) };
    let expected = [(Verdict::Accepted, Some(2_000_000)), (Verdict::Accepted, Some(2_000_001))];
    assert_eq!(bench.entry(0, vec![stamped(), stamped()]), Seen::Batch(expected.to_vec()));
    let scans = Meant { ranges: vec![(b"#".to_vec(), b"$".to_vec())], ..writes(1, &["x"]) };
    assert_eq!(bench.one(1, scans), Verdict::Conflict { position: 2, cause: Cause::Range });
}

#[test]
fn a_repeated_id_gets_the_place_of_the_first() {
    let mut bench = Bench::new(Replication::Peer);
    bench.entry(0, vec![writes(1, &["x"]), with_id("one", writes(1, &["y"]))]);
    let first = Verdict::Duplicate(Place { position: 2, index: 1 });
    assert_eq!(bench.one(1, with_id("one", writes(1, &["y"]))), first, "not a conflict with itself");
    assert_eq!(bench.certifier.find_id("one"), Some(Place { position: 2, index: 1 }));
    bench.one(1, with_id("two", writes(1, &["x"])));
    assert_eq!(bench.certifier.find_id("two"), None, "a refused transaction may be tried again with its id");
    let late = bench.letter(0, 4, vec![with_id("one", writes(4, &["y"]))]);
    let applied = bench.append_at(62_001, late);
    assert_eq!(applied.expired_ids, [2]);
    assert_eq!(Seen::of(&applied), Seen::Batch(vec![(Verdict::Accepted, None)]), "ids are forgotten after their time");
}

#[test]
fn only_the_primary_of_the_epoch_writes() {
    let mut bench = Bench::new(Replication::Primary);
    let not_primary = Verdict::Void(VoidReason::NotPrimary);
    assert_eq!(bench.one(0, writes(1, &["x"])), not_primary, "there is no primary yet");
    let epoch = |epoch, primary: &str| control(Control::Epoch { epoch, primary: primary.to_owned() });
    bench.append(epoch(2, "a"));
    assert_eq!(bench.one(0, writes(3, &["x"])), Verdict::Accepted);
    assert_eq!(bench.one(1, writes(3, &["y"])), not_primary);
    let of_the_old_epoch = bench.letter(0, bench.log.end(), vec![writes(3, &["z"])]);
    bench.append(epoch(3, "a"));
    assert_eq!(
        Seen::of(&bench.append(of_the_old_epoch)),
        Seen::Void(VoidReason::NotPrimary),
        "though it is primary again"
    );
    let void = bench.append(epoch(3, "b"));
    assert!(matches!(void.outcome, Outcome::Control { effective: false, .. }));
    assert_eq!(bench.certifier.state().primary.as_deref(), Some("a"));
}

#[test]
fn a_later_number_voids_the_earlier_ones() {
    let mut bench = Bench::new(Replication::Peer);
    let lost = bench.letter(0, 1, vec![writes(1, &["x"])]);
    assert_eq!(bench.one(0, writes(1, &["x"])), Verdict::Accepted);
    assert_eq!(Seen::of(&bench.append(lost)), Seen::Void(VoidReason::Superseded));
}

#[test]
fn a_gap_in_the_log_breaks_the_copy_and_changes_nothing() {
    let mut bench = Bench::new(Replication::Peer);
    let before = bench.certifier.clone();
    for position in [0, 1, 3] {
        let message = LogMessage { position, timestamp_us: 0, payload: Bytes::new() };
        let broken = bench.certifier.apply(message).map(|applied| applied.position);
        assert_eq!(broken, Err(Broken::Sequence { expected: 2, found: position }));
    }
    assert!(bench.certifier == before);
}

#[test]
fn an_entry_of_another_log_is_void_and_moves_no_number() {
    let mut bench = Bench::new(Replication::Peer);
    let other = Log::default().chain_at(0).next(b"other");
    let of_other_chain = bench.outside(0, 1);
    let of_the_future = bench.outside(0, 2);
    let chain = bench.log.chain_at(1);
    for (outside, chain) in [(of_other_chain, other), (of_the_future, chain)] {
        let letter = seal(&outside, chain, vec![writes(1, &["x"])], 1 << 20).remove(0);
        let message = LogMessage { position: bench.log.end() + 1, timestamp_us: 0, payload: letter.payload };
        let mut certifier = bench.certifier.clone();
        assert_eq!(Seen::of(&certifier.apply(message).unwrap()), Seen::Void(VoidReason::OtherLog));
        assert_eq!((certifier.state().junk, certifier.origin("a")), (1, None));
    }
}

#[test]
fn only_a_newer_format_with_a_right_checksum_breaks_the_copy() {
    let mut bench = Bench::new(Replication::Peer);
    let sealed = bench.letter(0, 1, vec![writes(1, &["x"])]).payload.to_vec();
    let mut damaged = sealed.clone();
    damaged[1] = 3;
    let mut newer = damaged.clone();
    newer[2..6].copy_from_slice(&checksum(3, &sealed[6..]).to_le_bytes());
    let before = bench.certifier.clone();
    let message = LogMessage { position: 2, timestamp_us: 0, payload: newer.into() };
    let broken = bench.certifier.apply(message).map(|applied| applied.position);
    let source = EntryError::NewerFormat { version: 3, known: 2 };
    assert_eq!(broken, Err(Broken::Unreadable { position: 2, source }));
    assert!(bench.certifier == before);
    for payload in [damaged.into(), Bytes::from_static(b"{\"kind\":\"merge\"}"), Bytes::from_static(&[0xB7, 2])] {
        let message = LogMessage { position: 2, timestamp_us: 0, payload };
        let applied = before.clone().apply(message).unwrap();
        assert_eq!(Seen::of(&applied), Seen::Void(VoidReason::Malformed));
    }
}

#[test]
fn junk_is_void_and_counted_and_moves_no_number() {
    let mut bench = Bench::new(Replication::Peer);
    let sealed = bench.letter(0, 1, vec![writes(1, &["x"])]);
    let mut damaged = sealed.payload.to_vec();
    damaged[20] ^= 1;
    let junk = [&[] as &[u8], &[0; 40], b"[]", b"{\"kind\":\"x\"}", &damaged];
    for payload in junk {
        let payload = Bytes::copy_from_slice(payload);
        let seen = Seen::of(&bench.append(Letter { payload, sent: Sent::Damaged }));
        assert!(matches!(seen, Seen::Void(reason) if reason.is_junk()), "{seen:?}");
    }
    assert_eq!(bench.certifier.state().junk, 5);
    let undamaged = bench.append(sealed);
    assert_eq!(Seen::of(&undamaged), Seen::Batch(vec![(Verdict::Accepted, None)]), "its number was not passed");
}

#[test]
fn a_state_that_did_not_count_junk_is_read() {
    let state = AppliedState { position: 7, epoch: 3, primary: Some("a".to_owned()), ..AppliedState::genesis() };
    let mut bytes = state.encode();
    for what in ["the server's clock at the horizon", "the server's clock", "the count of junk"] {
        assert_eq!(bytes.pop(), Some(0), "{what} came later");
    }
    bytes[0] = 1;
    assert_eq!(AppliedState::decode(&bytes), Ok(state));
}

#[test]
fn a_newer_storage_version_breaks_the_copy_if_the_entry_counts() {
    let mut bench = Bench::new(Replication::Peer);
    let older = Certifier { storage_version: STORAGE_VERSION - 1, ..bench.certifier.clone() };
    let letter = bench.letter(0, 1, vec![writes(1, &["x"])]);
    let message = LogMessage { position: 2, timestamp_us: 0, payload: letter.payload };
    let (ours, theirs) = (STORAGE_VERSION - 1, STORAGE_VERSION);
    let broken = older.clone().apply(message.clone()).map(|applied| applied.position);
    assert_eq!(broken, Err(Broken::StorageVersion { position: 2, ours, theirs }));
    let state = AppliedState { replication: Replication::Primary, ..older.state().clone() };
    let mut void = Certifier { state, ..older };
    assert_eq!(Seen::of(&void.apply(message).unwrap()), Seen::Void(VoidReason::NotPrimary));
}

#[test]
fn parts_make_one_transaction_at_the_place_of_the_last() {
    let mut bench = Bench::new(Replication::Peer);
    let outside = bench.outside(0, 1);
    let parts = seal(&outside, bench.log.chain_at(1), vec![writes(1, &["one", "two", "three", "four", "five"])], 16);
    let count = parts.len() as u64;
    assert!(count > 2);
    for part in parts {
        // Another sender in between does no harm.
        assert_eq!(bench.one(1, writes(bench.log.end(), &["other"])), Verdict::Accepted);
        bench.append(part);
    }
    let place = 1 + 2 * count;
    assert_eq!(bench.log.end(), place);
    let conflict = Verdict::Conflict { position: place, cause: Cause::Written };
    assert_eq!(bench.one(1, writes(place - 1, &["five"])), conflict);
}

#[test]
fn an_entry_that_writes_more_than_a_copy_can_take_is_void() {
    let mut bench = Bench::new(Replication::Peer);
    bench.certifier.limits.entry_writes_max = 3;
    let mut entry = |clock: Option<SenderClock>, transactions: Vec<Meant>| {
        let outside = Outside { clock, ..bench.outside(0, 1) };
        let letter = seal(&outside, bench.log.chain_at(1), transactions, 1 << 20).remove(0);
        Seen::of(&bench.append(letter))
    };
    let clock = Some(SenderClock { wall_ms: 1_000, since_us: 0 });
    let of_an_earlier_version = vec![writes(1, &["h", "i"]), writes(1, &["j", "k"])];
    assert!(matches!(entry(None, of_an_earlier_version), Seen::Batch(_)), "it was applied when it came");
    assert!(matches!(entry(clock, vec![writes(1, &["a", "b"]), writes(1, &["c"])]), Seen::Batch(_)));
    let four = vec![writes(1, &["d", "e"]), writes(1, &["f", "g"])];
    assert_eq!(entry(clock, four), Seen::Void(VoidReason::TooLarge), "the sum of its transactions counts");
    assert!(matches!(entry(clock, vec![writes(1, &["d", "e"])]), Seen::Batch(_)), "nothing of it happened");
}

#[test]
fn the_state_comes_back_as_it_was() {
    let mut bench = Bench::new(Replication::Primary);
    bench.append(control(Control::Epoch { epoch: 9, primary: "a".to_owned() }));
    for state in [AppliedState::genesis(), bench.certifier.state().clone()] {
        let bytes = state.encode();
        assert_eq!(AppliedState::decode(&bytes), Ok(state));
        for length in 0..bytes.len() {
            assert!(AppliedState::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(AppliedState::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn a_state_of_the_first_version_is_read() {
    let mut bytes = vec![1, 0];
    bytes.extend_from_slice(&[7; 16]);
    bytes.extend_from_slice(&[8; 16]);
    // Position, log time, stamp, epoch, kept ids and their horizon, horizon and log time there; no primary.
    bytes.extend_from_slice(&[9, 50, 3, 4, 5, 6, 2, 40, 0]);
    let state = AppliedState::decode(&bytes).unwrap();
    assert_eq!((state.position, state.stamp, state.epoch, state.horizon), (9, 3, 4, 2));
    let at_ms = |time_ms: u64| LogClock { time_us: time_ms * 1_000, server_us: 0, by_two: false };
    assert_eq!((state.clock, state.horizon_clock), (at_ms(50), at_ms(40)));
    assert_eq!(AppliedState::decode(&state.encode()), Ok(state));
}

#[test]
fn ids_are_kept_though_one_clock_jumps() {
    let mut bench = Bench::new(Replication::Peer);
    let clock = |wall_ms| Some(SenderClock { wall_ms, since_us: 1_000_000 });
    let mut stamped = |server_ms, wall_ms, id: &str| {
        let outside = Outside { clock: clock(wall_ms), ..bench.outside(0, bench.log.end()) };
        let meant = with_id(id, writes(bench.log.end(), &[id]));
        let letter = seal(&outside, bench.log.chain_at(bench.log.end()), vec![meant], 1 << 20).remove(0);
        match Seen::of(&bench.append_at(server_ms, letter)) {
            Seen::Batch(decisions) => decisions[0].0,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stamped(2_000, 2_000, "first"), Verdict::Accepted);
    // Ids are kept for a minute. For a moment the server is twenty minutes ahead, then the sender, then both are right.
    let twenty_minutes_ms = 1_200_000;
    for (server_ms, wall_ms) in [(3_000 + twenty_minutes_ms, 3_000), (4_000, 4_000 + twenty_minutes_ms), (5_000, 5_000)]
    {
        let other = format!("at {server_ms}");
        assert_eq!(stamped(server_ms, wall_ms, &other), Verdict::Accepted);
        assert!(matches!(stamped(server_ms, wall_ms, "first"), Verdict::Duplicate(_)), "{server_ms}");
    }
    // They go when a minute is over, by both, or by one and what the other saw pass.
    assert_eq!(stamped(70_000, 70_000, "other"), Verdict::Accepted);
    assert_eq!(stamped(70_000, 70_000, "first"), Verdict::Accepted);
}

#[test]
fn a_quiet_group_forgets_by_age() {
    let mut bench = Bench::new(Replication::Peer);
    bench.one(0, writes(1, &["x"]));
    let last = bench.letter(0, 2, vec![writes(2, &["y"])]);
    bench.append_at(2_000 + Limits::RELEASED.window_age_ms_max + 1, last);
    assert_eq!(bench.certifier.state().horizon, 2, "an open transaction that read the last position is not too old");
    assert_eq!(bench.one(1, writes(1, &["z"])), Verdict::TooOld { horizon: 2 });
    assert_eq!(bench.one(1, writes(2, &["z"])), Verdict::Accepted);
}
