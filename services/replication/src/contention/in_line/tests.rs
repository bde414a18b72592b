//! Requests that want the same keys, without a log behind them: what is on its way is accepted a moment later.

use std::collections::HashMap;
use std::sync::Arc;

use holdfast_storage::WriteSet;
use holdfast_storage::request::{Request, Terms};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::contention::{Admission, Passage};
use crate::model::Certifier;
use crate::model::contention::Footprint;
use crate::model::fingerprint::Fingerprint;

const FAR: Duration = Duration::from_secs(3_600);

fn contention() -> Arc<Contention> {
    Arc::new(Contention::new(Arc::new(Mutex::new(Certifier::new(303)))))
}

fn admit(contention: &Arc<Contention>, ticket: Option<Ticket>, keys: &[u8]) -> Admission {
    let request = match ticket {
        Some(ticket) => Request::on(Terms { ticket: Some(ticket), ..Terms::default() }),
        None => Request::new(None),
    };
    let writes = keys.iter().map(|key| (vec![*key], None)).collect();
    let write_set = WriteSet { writes, request: Some(request), ..WriteSet::default() };
    let footprint = Footprint::of(&write_set);
    contention.admit(&Arc::new(write_set), &Arc::new(footprint))
}

fn entered(admission: Admission) -> Passage {
    match admission {
        Admission::Enter(passage) => passage,
        other => panic!("{other:?}"),
    }
}

fn behind(admission: Admission) -> u64 {
    match admission {
        Admission::Behind { key, .. } => key,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_lost_runs_when_the_one_before_was_applied() {
    let contention = contention();
    let far = Instant::now() + FAR;
    let (first, mut second, mut third) = (contention.arrive(1), contention.arrive(2), contention.arrive(3));
    let passage = entered(admit(&contention, Some(first.ticket()), b"a"));

    // What wants the same key is not sent, and stands in line.
    for place in [&mut second, &mut third] {
        place.lost(behind(admit(&contention, Some(place.ticket()), b"a")));
        assert!(!place.turn(Instant::now()).await, "the first one is on its way");
    }
    // Another key is nobody's business.
    entered(admit(&contention, None, b"b")).end(true);

    passage.end(true);
    assert!(!third.turn(Instant::now()).await, "the second one is before it");
    assert!(second.turn(far).await);
    let passage = entered(admit(&contention, Some(second.ticket()), b"a"));
    assert!(!third.turn(Instant::now()).await);
    // One that the log refused stays first.
    passage.end(false);
    assert!(!third.turn(Instant::now()).await);
    entered(admit(&contention, Some(second.ticket()), b"a")).end(true);
    assert!(third.turn(far).await);
}

#[tokio::test]
async fn a_newcomer_joins_the_end_and_is_known_by_its_fingerprint() {
    let contention = contention();
    let mut first = contention.arrive(1);
    first.lost(behind_something_on_its_way(&contention, first.ticket()));
    assert!(first.turn(Instant::now() + FAR).await, "it is alone");
    // Nothing is on its way now, and yet the line is not passed by.
    for _ in 0..2 {
        let mut newcomer = contention.arrive(7);
        assert!(!newcomer.waits());
        newcomer.lost(behind(admit(&contention, Some(newcomer.ticket()), b"a")));
        assert!(!newcomer.turn(Instant::now()).await);
    }
    let mut known = contention.arrive(7);
    assert!(known.waits() && !known.turn(Instant::now()).await);
    drop(first);
    assert!(known.turn(Instant::now() + FAR).await);
    // The guess was wrong, and is not made again while the line is there.
    entered(admit(&contention, Some(known.ticket()), b"b")).end(false);
    assert!(!contention.arrive(7).waits());
}

/// One text of statements that names another record by a variable: the hot record's line is not that of all.
#[tokio::test]
async fn a_line_is_guessed_for_the_same_variables_only() {
    let of = |id: u64| Fingerprint::of("update").text("UPDATE type::record('t', $id) SET n += 1").number(id).finish();
    let (hot, cold) = (of(1), of(2));
    let contention = contention();
    let mut first = contention.arrive(1);
    first.lost(behind_something_on_its_way(&contention, first.ticket()));
    for _ in 0..2 {
        let mut other = contention.arrive(hot);
        other.lost(behind(admit(&contention, Some(other.ticket()), b"a")));
    }
    assert!(contention.arrive(hot).waits());
    assert!(!contention.arrive(cold).waits());
}

/// Gives the key over which it lost.
fn behind_something_on_its_way(contention: &Arc<Contention>, ticket: Ticket) -> u64 {
    let passage = entered(admit(contention, None, b"a"));
    let key = behind(admit(contention, Some(ticket), b"a"));
    passage.end(true);
    key
}

#[tokio::test]
async fn a_turn_that_takes_long_goes_on_and_the_slow_one_is_next_again() {
    let contention = contention();
    let far = Instant::now() + FAR;
    let (mut slow, mut other) = (contention.arrive(1), contention.arrive(2));
    for place in [&mut slow, &mut other] {
        place.lost(behind_something_on_its_way(&contention, place.ticket()));
    }
    assert!(slow.turn(far).await);
    let ticket = slow.ticket();
    slow.watch(async {
        assert!(other.turn(far).await, "the slow one does not hold up the others");
        entered(admit(&contention, Some(other.ticket()), b"a")).end(false);
        // Nothing is on its way: it may commit although it is not its turn any more.
        entered(admit(&contention, Some(ticket), b"a")).end(false);
    })
    .await;
    let mut late = contention.arrive(3);
    late.lost(behind(admit(&contention, Some(late.ticket()), b"a")));
    slow.lost(Footprint::of(&WriteSet { writes: vec![(b"a".to_vec(), None)], ..WriteSet::default() }).written[0]);
    drop(other);
    assert!(!late.turn(Instant::now()).await);
    assert!(slow.turn(far).await, "before those who came later");
}

/// One request: runs, wants into the log, waits for its turn, until it is accepted. Gives how often it ran.
async fn commit(contention: Arc<Contention>, keys: Vec<u8>, fingerprint: u64, seed: u64) -> u32 {
    let mut place = contention.arrive(fingerprint);
    let far = Instant::now() + FAR;
    let pause = async |salt: u64| {
        for _ in 0..1 + xxhash_rust::xxh3::xxh3_64_with_seed(&salt.to_le_bytes(), seed) % 20 {
            tokio::task::yield_now().await;
        }
    };
    for runs in 1.. {
        assert!(place.turn(far).await);
        let ticket = place.ticket();
        let admission = place.watch(async {
            pause(u64::from(runs)).await;
            admit(&contention, Some(ticket), &keys)
        });
        match admission.await {
            Admission::Enter(passage) => {
                pause(u64::from(runs) + 1_000).await;
                passage.end(true);
                return runs;
            }
            Admission::Behind { key, .. } => place.lost(key),
            other => panic!("{other:?}"),
        }
    }
    0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Requests with several keys each, in any order of keys, never wait in a circle: all are served. Those with one key run
    /// twice at most: once to find the line, and once in their turn.
    #[test]
    fn all_are_served(wanted in prop::collection::vec(prop::collection::vec(0..5_u8, 1..4), 1..80), seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let contention = contention();
            let mut tasks = HashMap::new();
            let alone = wanted.iter().all(|keys| keys.iter().all(|key| *key == keys[0]));
            for (number, mut keys) in (0..).zip(wanted) {
                keys.sort_unstable();
                keys.dedup();
                let fingerprint = keys.iter().fold(0, |fingerprint, key| fingerprint * 8 + u64::from(*key) + 1);
                let task = commit(Arc::clone(&contention), keys, fingerprint, seed.wrapping_add(number));
                tasks.insert(number, tokio::spawn(task));
            }
            for (_, task) in tasks {
                let runs = task.await.expect("served");
                assert!(!alone || runs <= 3, "ran {runs} times");
            }
            assert!(contention.state.lock().is_empty(), "somebody is left in a line");
        });
    }
}
