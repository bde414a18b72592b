//! Work that keeps its thread for long leaves the runtime able to do other work, and ends as it would have.

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use holdfast_memory::{Account, Metered, metered};

#[global_allocator]
static ALLOCATOR: Metered<System> = Metered(System);

const PATIENCE: Duration = Duration::from_secs(20);
/// More than the runtime has threads.
const WORKS: usize = 5;

/// Never gives way, and allocates, until it is told that other work was done; or until nobody has patience any more.
async fn keeps_its_thread(is_over: Arc<AtomicBool>) -> bool {
    let began = Instant::now();
    let mut kept = 0;
    while !is_over.load(Ordering::Acquire) && began.elapsed() < PATIENCE {
        kept += usize::from(!std::hint::black_box(vec![1_u8; 64]).is_empty());
    }
    assert!(kept > 0);
    is_over.load(Ordering::Acquire)
}

#[test]
fn work_that_keeps_its_thread_leaves_the_runtime() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let is_over = Arc::<AtomicBool>::default();
    let works: Vec<_> = (0..WORKS)
        .map(|_| runtime.spawn(metered(Account::open(|_| {}), keeps_its_thread(Arc::clone(&is_over)))))
        .collect();
    // Timers, tasks and their results need threads of the runtime.
    let other = runtime.spawn(async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            tokio::spawn(std::future::ready(())).await.expect("it runs");
        }
    });
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE / 2, other).await.expect("other work goes on").expect("it ends");
        is_over.store(true, Ordering::Release);
        for work in works {
            assert!(work.await.expect("it ends as it would have"));
        }
    });
}
