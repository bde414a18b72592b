//! Lets time pass for the router: deadlines, questions to silent CSPs, another try for those that wait.

use crate::perform::Performer;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Between two sweeps. One goes through all open requests, which are some hundreds even at tens of thousands per second.
const INTERVAL: Duration = Duration::from_millis(10);

/// Sweeps for ever.
pub async fn sweep(performer: Performer) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let tasks = performer.router.sweep(performer.clock.now_ms(), performer.clock.monotonic_ms());
        performer.perform(tasks).await;
    }
}

/// Returns once no request is open.
pub async fn emptied(performer: &Performer) {
    let mut ticks = tokio::time::interval(INTERVAL);
    while !performer.router.is_empty() {
        ticks.tick().await;
    }
}
