//! The pauses of this process, as seen by those who take messages from the bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, SubscribeError};
use futures::StreamExt;
use tokio::time::MissedTickBehavior;

use crate::clock::{PauseWatch, Standstill, since_boot_ms};

const TICK: Duration = Duration::from_millis(20);

/// Shared by the task that watches and those who ask, with every request: nobody waits for anybody.
#[derive(Debug)]
pub struct Pauses {
    ticked_at_ms: AtomicU64,
    length_ms: AtomicU64,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { ticked_at_ms: AtomicU64::new(since_boot_ms()), length_ms: AtomicU64::new(0) }
    }
}

impl Pauses {
    /// For how long a message that is taken from the inbox now may have lain there because this process stood still.
    #[must_use]
    pub fn lain_ms(&self) -> u64 {
        // The tick first: whoever sees the one that ended a pause sees how long that was.
        let ticked_at_ms = self.ticked_at_ms.load(Ordering::Acquire);
        let length_ms = self.length_ms.load(Ordering::Relaxed);
        Standstill { ticked_at_ms, length_ms }.lain_ms(since_boot_ms())
    }

    fn note(&self, seen: Standstill) {
        // The length first; see above. In between it may count twice, which is to err on the early side.
        self.length_ms.store(seen.length_ms, Ordering::Relaxed);
        self.ticked_at_ms.store(seen.ticked_at_ms, Ordering::Release);
    }

    /// Watches until the task is aborted. Marks go over the connection whose messages are asked about. Once nobody watches, all
    /// that comes seems to have lain here, so a service must end with it.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn watch(self: Arc<Self>, client: Client) -> Result<(), SubscribeError> {
        let inbox = client.new_inbox();
        let mut marks = client.subscribe(inbox.clone()).await?;
        let mut watch = PauseWatch::new(self.ticked_at_ms.load(Ordering::Relaxed));
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mark = tokio::select! {
                _ = ticks.tick() => watch.tick(since_boot_ms()),
                Some(message) = marks.next() => {
                    if let Ok(bytes) = message.payload.as_ref().try_into() {
                        watch.returned(u64::from_be_bytes(bytes), since_boot_ms());
                    }
                    None
                }
            };
            let seen = watch.standstill();
            // Once for each pause, however often its mark is sent again.
            if seen.length_ms > self.length_ms.load(Ordering::Relaxed) {
                tracing::warn!(lain_ms = seen.length_ms, "this process stood still");
            }
            self.note(seen);
            if let Some(mark) = mark {
                // One that cannot be sent is sent again.
                let _ = client.publish(inbox.clone(), mark.to_be_bytes().to_vec().into()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_sees_what_the_watch_has_seen() {
        let pauses = Pauses::default();
        // No tick can be late in this test, however busy the machine is.
        let ticked_at_ms = u64::MAX;
        for length_ms in [0, 9_000, 0] {
            pauses.note(Standstill { ticked_at_ms, length_ms });
            assert_eq!(pauses.lain_ms(), length_ms);
        }
        pauses.note(Standstill { ticked_at_ms: 0, length_ms: 9_000 });
        assert!(pauses.lain_ms() >= 9_000 + since_boot_ms() / 2, "the last tick was when the machine started");
    }
}
