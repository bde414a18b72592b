//! Requests whose group is not in the table: it may have been defined a moment ago, and the bucket knows.
//!
//! An anteroom with a limit: bodies that wait are memory, so there is a largest sum of their sizes, and beyond it `overloaded`
//! is said at once. Names that nobody has defined can be made up at will, so only so many are looked up at the same time.

use crate::config::ExecutionConfig;
use crate::definitions::Definitions;
use crate::envelope::Envelope;
use crate::model::request::Refusal;
use crate::model::traffic::Arrival;
use crate::perform::Performer;
use holdfast_schemas::ErrorCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One permit of the room.
const PERMIT_BYTES: usize = 1_024;
/// Unknown groups that are looked up at the same time.
const LOOKUPS_MAX: usize = 32;

/// The anteroom.
pub struct Lookup {
    performer: Performer,
    definitions: Definitions,
    patience_ms: u64,
    seats: Arc<Semaphore>,
    seats_max: u32,
    turns: Semaphore,
}

impl Lookup {
    /// An empty room.
    pub fn new(config: &ExecutionConfig, performer: Performer, definitions: Definitions) -> Self {
        let seats_max = u32::try_from(config.waiting_bytes_max / PERMIT_BYTES).unwrap_or(u32::MAX);
        Self {
            performer,
            definitions,
            patience_ms: config.wait_ms_max,
            seats: Arc::new(Semaphore::new(seats_max as usize)),
            seats_max,
            turns: Semaphore::new(LOOKUPS_MAX),
        }
    }

    /// Lets a request wait in a task of its own, or tells the client that the room is full.
    pub async fn enter(self: &Arc<Self>, group: String, arrival: Arrival<Envelope>) {
        let seats = u32::try_from(arrival.bytes / PERMIT_BYTES + 1).unwrap_or(u32::MAX);
        match Arc::clone(&self.seats).try_acquire_many_owned(seats) {
            Ok(seat) => {
                let room = Arc::clone(self);
                tokio::spawn(async move { room.resolve(group, arrival, seat).await });
            }
            Err(_) => {
                let message = format!("there is no group {group} yet, and too many requests wait for one already");
                self.refuse(&arrival, ErrorCode::Overloaded, message).await;
            }
        }
    }

    /// Returns once nobody is in the room any more.
    pub async fn emptied(&self) {
        // An error would mean that the semaphore was closed, which nobody does.
        let _ = self.seats.acquire_many(self.seats_max).await;
    }

    async fn resolve(&self, group: String, mut arrival: Arrival<Envelope>, seat: OwnedSemaphorePermit) {
        if let Err((code, message)) = self.look_up(&group, arrival.deadline_ms).await {
            return self.refuse(&arrival, code, message).await;
        }
        let now_ms = self.performer.clock.monotonic_ms();
        arrival.deadline_ms = left_ms(arrival.deadline_ms, arrival.cargo.taken_at_ms, now_ms);
        if arrival.deadline_ms == 0 {
            let message =
                format!("its time was over before group {group} was found, and nothing was done: send it again");
            return self.refuse(&arrival, ErrorCode::DeadlineExceeded, message).await;
        }
        arrival.utc_ms = self.performer.clock.now_ms();
        match self.performer.router.take(&group, arrival, now_ms) {
            Ok(Some(task)) => self.performer.perform_one(task).await,
            Ok(None) => {}
            Err(arrival) => self.refuse(&arrival, ErrorCode::UnknownGroup, self.unknown(&group)).await,
        }
        drop(seat);
    }

    async fn look_up(&self, group: &str, deadline_ms: u64) -> Result<(), (ErrorCode, String)> {
        let patience = Duration::from_millis(deadline_ms.min(self.patience_ms));
        let looked_up = async {
            let _turn = self.turns.acquire().await;
            // The watch, or another request, may have been faster.
            if self.performer.router.knows(group) { Ok(None) } else { self.definitions.look_up(group).await }
        };
        match tokio::time::timeout(patience, looked_up).await {
            Ok(Ok(Some(definition))) => {
                let tasks = self.performer.router.define(definition, self.performer.clock.monotonic_ms());
                self.performer.perform(tasks).await;
                Ok(())
            }
            Ok(Ok(None)) => Ok(()),
            Ok(Err(error)) => Err((ErrorCode::Unavailable, format!("group {group} cannot be looked up: {error}"))),
            Err(_) => Err((ErrorCode::Unavailable, format!("group {group} cannot be looked up in time"))),
        }
    }

    fn unknown(&self, group: &str) -> String {
        match self.performer.router.names() {
            names if names.is_empty() => format!("there is no group {group}; no group is defined yet"),
            names => format!("there is no group {group}; known groups: {}", names.join(", ")),
        }
    }

    async fn refuse(&self, arrival: &Arrival<Envelope>, code: ErrorCode, message: String) {
        let envelope = &arrival.cargo;
        let refusal = Refusal { id: Some(envelope.id.clone()), code, message };
        self.performer.forwarder.refuse(envelope.message.reply.clone(), refusal, None).await;
    }
}

/// What is left of its time to a request that has waited here since it came.
fn left_ms(deadline_ms: u64, taken_at_ms: u64, now_ms: u64) -> u64 {
    deadline_ms.saturating_sub(now_ms.saturating_sub(taken_at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_the_room_counts_against_the_deadline() {
        assert_eq!(left_ms(5_000, 100, 100), 5_000);
        assert_eq!(left_ms(5_000, 100, 2_100), 3_000);
        assert_eq!((left_ms(5_000, 100, 5_100), left_ms(5_000, 100, 9_000)), (0, 0));
    }
}
