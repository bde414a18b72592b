//! The pauses of this process, as seen by those who take messages from the bus.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, SubscribeError};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::clock::{PauseWatch, since_boot_ms};

const TICK: Duration = Duration::from_millis(20);

/// Shared by the task that watches and those who ask.
#[derive(Debug)]
pub struct Pauses {
    watch: Mutex<PauseWatch>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { watch: Mutex::new(PauseWatch::new(since_boot_ms())) }
    }
}

impl Pauses {
    /// For how long a message that is taken from the inbox now may have lain there because this process stood still.
    #[must_use]
    pub fn lain_ms(&self) -> u64 {
        self.watch.lock().lain_ms(since_boot_ms())
    }

    /// Watches until the task is aborted. Marks go over the connection whose messages are asked about.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn watch(self: Arc<Self>, client: Client) -> Result<(), SubscribeError> {
        let inbox = client.new_inbox();
        let mut marks = client.subscribe(inbox.clone()).await?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mark = tokio::select! {
                _ = ticks.tick() => self.watch.lock().tick(since_boot_ms()),
                Some(message) = marks.next() => {
                    if let Ok(bytes) = message.payload.as_ref().try_into() {
                        self.watch.lock().returned(u64::from_be_bytes(bytes), since_boot_ms());
                    }
                    None
                }
            };
            if let Some(mark) = mark {
                tracing::warn!(lain_ms = self.lain_ms(), "this process stood still");
                // One that cannot be sent is sent again.
                let _ = client.publish(inbox.clone(), mark.to_be_bytes().to_vec().into()).await;
            }
        }
    }
}
