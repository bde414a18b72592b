//! Lets time pass for the router: deadlines, questions to silent CSPs, another try for those that wait; and notices that our own
//! connection was lost for a moment, and messages with it.

use crate::perform::Performer;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Between two sweeps. One goes through all open requests, which are some hundreds even at tens of thousands per second.
const INTERVAL: Duration = Duration::from_millis(10);

/// Sweeps for ever.
pub async fn sweep(performer: Performer) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let statistics = performer.client.statistics();
    let mut connects = statistics.connects.load(Ordering::Relaxed);
    loop {
        ticks.tick().await;
        let now_ms = performer.clock.monotonic_ms();
        let known = std::mem::replace(&mut connects, statistics.connects.load(Ordering::Relaxed));
        if known != connects {
            performer.perform(performer.router.reconnected(now_ms)).await;
        }
        performer.perform(performer.router.sweep(performer.clock.now_ms(), now_ms)).await;
    }
}

/// Returns once no request is open.
pub async fn emptied(performer: &Performer) {
    let mut ticks = tokio::time::interval(INTERVAL);
    while !performer.router.is_empty() {
        ticks.tick().await;
    }
}
