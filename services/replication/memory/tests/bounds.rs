//! Work that takes too much is told to stop, work that does not is left asleep, and all other work goes on.

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdfast_memory::{Account, Bounds, Excess, Metered, metered};
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: Metered<System> = Metered(System);

const MIB: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

fn account() -> (Arc<Account>, Arc<AtomicBool>, mpsc::UnboundedReceiver<Excess>) {
    let (told, hears) = mpsc::unbounded_channel();
    let is_stopped = Arc::<AtomicBool>::default();
    let stopped = Arc::clone(&is_stopped);
    let account = Account::open(move |excess| {
        stopped.store(true, Ordering::Release);
        let _ = told.send(excess);
    });
    (account, is_stopped, hears)
}

fn chunk() -> Vec<u8> {
    vec![1; MIB]
}

/// Takes memory piece by piece and looks between two pieces whether it has to stop, as SurrealDB does.
async fn takes_until_told(is_stopped: Arc<AtomicBool>) -> usize {
    let mut taken = Vec::new();
    while !is_stopped.load(Ordering::Acquire) {
        taken.push(chunk());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    taken.len()
}

// One test: the bounds are those of the process.
#[test]
fn bounds_hold() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(hold_bounds());
    // Those that sleep are not waited for.
    runtime.shutdown_background();
}

/// Too much, and it stops.
async fn greedy_work_is_stopped() {
    let (greedy, is_stopped, mut hears) = account();
    let taken = tokio::spawn(metered(greedy, takes_until_told(is_stopped)));
    let taken = tokio::time::timeout(PATIENCE, taken).await.expect("it stops").expect("it ends");
    assert!((28..60).contains(&taken), "it was stopped with {taken} MiB");
    assert_eq!(hears.recv().await, Some(Excess::Stop));
}

async fn hold_bounds() {
    Bounds { stop: 32 * MIB as u64, sleep: 64 * MIB as u64, resident: u64::MAX }.set();

    // What is given back does not count.
    let (frugal, is_stopped, _hears) = account();
    let work = async {
        for _ in 0..400 {
            drop(chunk());
            tokio::task::yield_now().await;
        }
    };
    metered(frugal, work).await;
    assert!(!is_stopped.load(Ordering::Acquire));

    greedy_work_is_stopped().await;

    // Far too much, and it does not stop: as many as there are threads, and more.
    for _ in 0..3 {
        let (endless, _, mut hears) = account();
        tokio::spawn(metered(endless, async { std::iter::repeat_with(chunk).take(1 << 20).collect::<Vec<_>>().len() }));
        let told = async { while hears.recv().await.expect("it is told") != Excess::Asleep {} };
        tokio::time::timeout(PATIENCE, told).await.expect("it falls asleep");
    }

    // Others go on, with what is allowed, and all of it is theirs.
    let (modest, is_stopped, mut hears) = account();
    let kept = Arc::clone(&modest);
    let allowed = metered(modest, async { std::iter::repeat_with(chunk).take(8).collect::<Vec<_>>().len() });
    let done = tokio::time::timeout(PATIENCE, tokio::spawn(allowed)).await.expect("it goes on").expect("it ends");
    assert_eq!(done, 8);
    // The second of these is told when all that was marked before the first one was told has been told, too.
    for _ in 0..2 {
        greedy_work_is_stopped().await;
    }
    assert!(!is_stopped.load(Ordering::Acquire), "it was stopped for what others hold");
    assert!(hears.try_recv().is_err(), "it heard something");
    drop(kept);
}
