//! A request while it is tried: in no line at first, and in one line at a time when it lost.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::Contention;
use crate::model::contention::Ticket;

/// How long a turn lasts at first, unless what it is for is on its way to the log by then.
const TURN: Duration = Duration::from_millis(100);
/// It is doubled each time that it was too short, so often at most.
const DOUBLED_MAX: u32 = 6;

/// The place of a request; given up when dropped.
#[derive(Debug)]
pub struct InLine<'a> {
    contention: &'a Contention,
    ticket: Ticket,
    fingerprint: u64,
    /// To wait for, while it is not its turn.
    turn: Option<oneshot::Receiver<()>>,
    /// The key over which it lost last: it waits for what is on its way with that.
    key: Option<u64>,
    /// Whether it was ever in a line.
    stood: bool,
    turns_over: u32,
    lost_in_turn: u32,
    lost_elsewhere: u32,
    waited: Duration,
}

impl<'a> InLine<'a> {
    pub(super) fn new(contention: &'a Contention, ticket: Ticket, fingerprint: u64) -> Self {
        Self {
            contention,
            ticket,
            fingerprint,
            turn: None,
            key: None,
            stood: false,
            turns_over: 0,
            lost_in_turn: 0,
            lost_elsewhere: 0,
            waited: Duration::ZERO,
        }
    }

    pub(super) fn stand(&mut self, key: u64, turn: Option<oneshot::Receiver<()>>) {
        self.key = Some(key);
        self.turn = turn;
        self.stood = true;
    }

    /// Its name.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Whether it has to wait before it is tried.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.key.is_some()
    }

    /// Waits until it is its turn, and until the fate of what others have on their way is known. False if that did not come by
    /// `deadline`.
    pub async fn turn(&mut self, deadline: Instant) -> bool {
        let began = Instant::now();
        let is_in_turn = self.wait(deadline).await;
        self.waited += began.elapsed();
        is_in_turn
    }

    async fn wait(&mut self, deadline: Instant) -> bool {
        if let Some(turn) = &mut self.turn {
            if timeout_at(deadline, turn).await.is_err() {
                return false;
            }
            self.turn = None;
        }
        let Some(key) = self.key.take() else { return true };
        match self.contention.fate_of(key) {
            Some(fate) => timeout_at(deadline, fate).await.is_ok(),
            None => true,
        }
    }

    /// For how long it has waited.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How often it lost although it was its turn, against those that want other keys too.
    #[must_use]
    pub fn lost_in_turn(&self) -> u32 {
        self.lost_in_turn
    }

    /// It lost against another copy; gives how often it did.
    pub fn lost_elsewhere(&mut self) -> u32 {
        self.lost_elsewhere += 1;
        self.lost_elsewhere
    }

    /// Gives up its place.
    pub fn leave(&self) {
        self.contention.leave(self.ticket);
    }

    /// It lost over this key: it waits behind the others that want it, or is tried again as soon as the one before it has an
    /// outcome if it has the turn in another line already.
    pub fn lost(&mut self, key: u64) {
        let (had_turn, turn) = self.contention.stand(self.ticket, self.fingerprint, key);
        self.lost_in_turn += u32::from(had_turn);
        self.stand(key, turn);
    }

    /// Carries out an attempt. One that takes longer than a turn lets the others go on.
    pub async fn watch<F: Future>(&mut self, attempt: F) -> F::Output {
        if !self.stood {
            return attempt.await;
        }
        let mut attempt = std::pin::pin!(attempt);
        let lasts = TURN * 2_u32.pow(self.turns_over.min(DOUBLED_MAX));
        if let Ok(outcome) = timeout(lasts, &mut attempt).await {
            return outcome;
        }
        if self.contention.step_aside(self.ticket) {
            self.turns_over += 1;
        }
        attempt.await
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests;
