//! What this copy has applied, for everyone who has to know: the publisher that seals entries, requests that wait for a
//! position, the status.
//!
//! Invariant: the view is moved only after the inner commit, so whoever sees a position here finds its data in the copy.

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::{AppliedState, Chain, Isolation, Position, Replication};

/// The rules that hold at the applied position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The applied position.
    pub position: Position,
    /// The chain value there.
    pub chain: Chain,
    /// The current epoch.
    pub epoch: u64,
    /// Its primary.
    pub primary: Option<String>,
    /// Who may write.
    pub replication: Replication,
    /// What is certified.
    pub isolation: Isolation,
    /// Log time.
    pub log_time_ms: u64,
    /// Ids of transactions up to this position are forgotten.
    pub ids_horizon: Position,
    /// How many messages of the log were junk.
    pub junk: u64,
}

impl From<&AppliedState> for View {
    fn from(state: &AppliedState) -> Self {
        Self {
            position: state.position,
            chain: state.chain,
            epoch: state.epoch,
            primary: state.primary.clone(),
            replication: state.replication,
            isolation: state.isolation,
            log_time_ms: state.clock.time_ms(),
            ids_horizon: state.ids_horizon,
            junk: state.junk,
        }
    }
}

/// The shared view, and a way to wait for it.
#[derive(Debug)]
pub struct AppliedView {
    now: Mutex<Now>,
    position: watch::Sender<Position>,
    epoch: watch::Sender<u64>,
}

/// What is true at one moment, under one lock: log time beside the moment of another message would end a lease early.
#[derive(Debug)]
struct Now {
    view: View,
    /// When the last message was applied.
    applied_at: Instant,
    /// When the message was applied that moved log time last.
    timed_at: Instant,
}

impl AppliedView {
    /// A view of the state that a copy was opened with.
    #[must_use]
    pub fn new(state: &AppliedState) -> Self {
        let now = Instant::now();
        Self {
            now: Mutex::new(Now { view: View::from(state), applied_at: now, timed_at: now }),
            position: watch::Sender::new(state.position),
            epoch: watch::Sender::new(state.epoch),
        }
    }

    /// The view now.
    #[must_use]
    pub fn get(&self) -> View {
        self.now.lock().view.clone()
    }

    /// Reads parts of the view without copying it.
    pub fn with<R>(&self, read: impl FnOnce(&View) -> R) -> R {
        read(&self.now.lock().view)
    }

    /// The applied position.
    #[must_use]
    pub fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// What the log's clock shows by now, in milliseconds since 1970: the time of the last message that moved it, and what has passed
    /// since that was applied. No wall clock of this machine is in it. A change of the primary moves nothing: counted from there, a
    /// lease would be too short by what passed before.
    #[must_use]
    pub fn log_now_ms(&self) -> u64 {
        let (log_time_ms, timed_at) = {
            let now = self.now.lock();
            (now.view.log_time_ms, now.timed_at)
        };
        log_time_ms.saturating_add(u64::try_from(timed_at.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When the last message was applied, or the copy was taken up.
    #[must_use]
    pub fn applied_at(&self) -> Instant {
        self.now.lock().applied_at
    }

    /// Moves the view; called after the inner commit.
    pub fn advance(&self, state: &AppliedState) {
        let (view, applied_at) = (View::from(state), Instant::now());
        {
            let mut now = self.now.lock();
            let timed_at = if now.view.log_time_ms == view.log_time_ms { now.timed_at } else { applied_at };
            *now = Now { view, applied_at, timed_at };
        }
        self.position.send_replace(state.position);
        self.epoch.send_if_modified(|epoch| std::mem::replace(epoch, state.epoch) != state.epoch);
    }

    /// Tells of new epochs. A receiver sees the view of its epoch, or of a later one.
    #[must_use]
    pub fn epochs(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// Waits until `position` is applied; false if it was not by `deadline`.
    pub async fn reached(&self, position: Position, deadline: Instant) -> bool {
        let mut watch = self.position.subscribe();
        let reached = tokio::time::timeout_at(deadline, watch.wait_for(|applied| *applied >= position)).await;
        matches!(reached, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::LogClock;

    #[test]
    fn the_log_s_clock_goes_on_behind_messages_that_do_not_move_it() {
        let at = |position, time_ms: u64| AppliedState {
            position,
            clock: LogClock { time_us: time_ms * 1_000, ..LogClock::default() },
            ..AppliedState::genesis()
        };
        let view = AppliedView::new(&at(1, 10_000));
        view.now.lock().timed_at = Instant::now() - Duration::from_secs(30);
        view.advance(&at(2, 10_000));
        assert!((40_000..70_000).contains(&view.log_now_ms()), "a change of the primary: {}", view.log_now_ms());
        view.advance(&at(3, 12_000));
        assert!((12_000..40_000).contains(&view.log_now_ms()), "{}", view.log_now_ms());
    }
}
