//! Requests for which there is no CSP at the moment, or whose group is not in the table yet.
//!
//! A waiting room with a limit: a primary that restarts is worth a second of patience, but bodies that wait are memory, so
//! there is a largest sum of their sizes, and beyond it `overloaded` is said at once. Waiting ends with a heartbeat or a
//! definition that makes a route, with the configured patience, or with the request's own deadline.

use crate::config::ExecutionConfig;
use crate::definitions::Definitions;
use crate::forward::{Envelope, Forwarder};
use crate::model::route::{Need, NoRoute};
use crate::router::{RouteError, Router};
use holdfast_foundation::clock::Clock;
use holdfast_schemas::ErrorCode;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// One permit of the waiting room.
const PERMIT_BYTES: usize = 1_024;
/// Unknown groups that are looked up at the same time.
const LOOKUPS_MAX: usize = 32;

/// The waiting room.
pub struct WaitingRoom {
    router: Arc<Router>,
    forwarder: Arc<Forwarder>,
    definitions: Definitions,
    clock: Arc<dyn Clock>,
    patience_ms: u64,
    seats: Arc<Semaphore>,
    seats_max: u32,
    lookups: Semaphore,
}

/// A request, and what it waits for.
pub struct Waiter {
    /// The request.
    pub envelope: Envelope,
    /// Its group.
    pub group: String,
    /// What its CSP has to fulfil.
    pub need: Need,
}

impl WaitingRoom {
    /// An empty room.
    pub fn new(
        config: &ExecutionConfig,
        router: Arc<Router>,
        forwarder: Arc<Forwarder>,
        definitions: Definitions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let seats_max = u32::try_from(config.waiting_bytes_max / PERMIT_BYTES).unwrap_or(u32::MAX);
        Self {
            router,
            forwarder,
            definitions,
            clock,
            patience_ms: config.wait_ms_max,
            seats: Arc::new(Semaphore::new(seats_max as usize)),
            seats_max,
            lookups: Semaphore::new(LOOKUPS_MAX),
        }
    }

    /// Lets a request wait in a task of its own, or tells the client that the room is full.
    pub async fn enter(self: &Arc<Self>, waiter: Waiter, first: RouteError) {
        self.forwarder.counters.waited.fetch_add(1, Ordering::Relaxed);
        let seats = u32::try_from(waiter.envelope.message.payload.len() / PERMIT_BYTES + 1).unwrap_or(u32::MAX);
        match Arc::clone(&self.seats).try_acquire_many_owned(seats) {
            Ok(seat) => {
                let room = Arc::clone(self);
                tokio::spawn(async move { room.wait(waiter, first, seat).await });
            }
            Err(_) => {
                let message = format!("{first}, and too many requests wait already");
                self.forwarder.refuse_envelope(waiter.envelope, ErrorCode::Overloaded, message).await;
            }
        }
    }

    /// Returns once nobody waits any more.
    pub async fn emptied(&self) {
        // An error would mean that the semaphore was closed, which nobody does.
        let _ = self.seats.acquire_many(self.seats_max).await;
    }

    async fn wait(&self, waiter: Waiter, first: RouteError, seat: OwnedSemaphorePermit) {
        let until = Instant::now() + self.patience(&waiter);
        let outcome = match self.resolve(&waiter, first, until).await {
            Ok(()) => self.find(&waiter, until).await,
            Err(refusal) => Err(refusal),
        };
        match outcome {
            Ok(destination) => self.forwarder.forward(waiter.envelope, destination).await,
            Err((code, message)) => self.forwarder.refuse_envelope(waiter.envelope, code, message).await,
        }
        drop(seat);
    }

    fn patience(&self, waiter: &Waiter) -> Duration {
        let left_ms = waiter.envelope.deadline_at_ms.saturating_sub(self.clock.now_ms());
        Duration::from_millis(left_ms.min(self.patience_ms))
    }

    /// A group that is not in the table may have been defined a moment ago: the bucket knows.
    async fn resolve(&self, waiter: &Waiter, first: RouteError, until: Instant) -> Result<(), (ErrorCode, String)> {
        if !matches!(first, RouteError::UnknownGroup(_)) || self.router.knows(&waiter.group) {
            return Ok(());
        }
        let looked_up = async {
            let _turn = self.lookups.acquire().await;
            self.definitions.look_up(&waiter.group).await
        };
        match tokio::time::timeout_at(until, looked_up).await {
            Ok(Ok(Some(definition))) => {
                self.router.define(definition);
                Ok(())
            }
            Ok(Ok(None)) => Err((ErrorCode::UnknownGroup, self.unknown(&waiter.group))),
            Ok(Err(error)) => {
                Err((ErrorCode::Unavailable, format!("group {} cannot be looked up: {error}", waiter.group)))
            }
            Err(_) => Err((ErrorCode::Unavailable, format!("group {} cannot be looked up in time", waiter.group))),
        }
    }

    fn unknown(&self, group: &str) -> String {
        match self.router.names() {
            names if names.is_empty() => format!("there is no group {group}; no group is defined yet"),
            names => format!("there is no group {group}; known groups: {}", names.join(", ")),
        }
    }

    async fn find(&self, waiter: &Waiter, until: Instant) -> Result<async_nats::Subject, (ErrorCode, String)> {
        loop {
            let mut changed = pin!(self.router.changed().notified());
            changed.as_mut().enable();
            let refused = match self.router.route(&waiter.group, waiter.need, self.clock.monotonic_ms()) {
                Ok(destination) => return Ok(destination),
                Err(refused) => refused,
            };
            if tokio::time::timeout_at(until, changed).await.is_err() {
                return Err((code(&refused), format!("{refused}; send it again in a moment")));
            }
        }
    }
}

fn code(error: &RouteError) -> ErrorCode {
    match error {
        RouteError::UnknownGroup(_) => ErrorCode::UnknownGroup,
        RouteError::NoRoute { reason: NoRoute::AllBehind, .. } => ErrorCode::PositionNotReached,
        RouteError::NoRoute { .. } => ErrorCode::Unavailable,
    }
}
