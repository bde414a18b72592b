//! Keeps transactions of this copy that want the same keys from running into one another.
//!
//! What is certain to lose is not sent: against what this copy has applied, and against its own transactions that are on their
//! way to the log. Whoever lost stands in line for the key and runs when the one before it was applied, on the newest state. The
//! log still decides about everything: nothing here makes anything count that the certifier would refuse.

mod in_line;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use holdfast_storage::WriteSet;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::model::contention::{Footprint, Forecasts, Foreseen, Lines, Number, OnItsWay, Ticket};
use crate::model::{Certifier, Place, Position};

pub use in_line::InLine;

/// Who wants what at this copy.
#[derive(Debug)]
pub struct Contention {
    certifier: Arc<Mutex<Certifier>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lines: Lines,
    on_its_way: OnItsWay,
    forecasts: Forecasts,
    /// The fingerprint of those who stand in a line because of a guess.
    guessed: HashMap<Ticket, u64>,
    /// Those whose transaction is on its way.
    sent: HashSet<Ticket>,
    /// To be told that it is their turn.
    turns: HashMap<Ticket, oneshot::Sender<()>>,
    /// To be told that the fate of something on its way is known, by its channel's end.
    fates: HashMap<Number, Vec<oneshot::Sender<()>>>,
    last: u64,
}

/// What may become of a transaction that wants into the log.
#[derive(Debug)]
pub enum Admission {
    /// It may go on. What it writes counts as on its way until this is dropped.
    Enter(Passage),
    /// Others are before it.
    Behind {
        /// Over this key, or range.
        key: u64,
        /// Ends when the fate of the one that is on its way is known.
        fate: Option<oneshot::Receiver<()>>,
    },
    /// It lost already.
    Lost {
        /// Over this key, or range.
        key: u64,
        /// Against what was written there.
        position: Position,
    },
    /// Its id was committed before.
    Known(Place),
}

/// A transaction that is on its way to the log.
#[derive(Debug)]
pub struct Passage {
    contention: Arc<Contention>,
    number: Number,
    /// Whose turn ends with it if it is accepted.
    ticket: Option<Ticket>,
    is_accepted: bool,
}

impl Contention {
    /// At a copy with this certifier.
    #[must_use]
    pub fn new(certifier: Arc<Mutex<Certifier>>) -> Self {
        Self { certifier, state: Mutex::default() }
    }

    /// Whether a transaction may be handed to the log now. Those with a ticket are run again by whoever holds that, so they have
    /// to stand in line.
    pub fn admit(self: &Arc<Self>, write_set: &Arc<WriteSet>, footprint: &Arc<Footprint>) -> Admission {
        let ticket = write_set.request.as_ref().and_then(|request| request.ticket());
        let entered = self.state.lock().enter(ticket, write_set, footprint);
        let number = match entered {
            Ok(number) => number,
            Err((key, fate)) => return Admission::Behind { key, fate },
        };
        let passage = Passage { contention: Arc::clone(self), number, ticket, is_accepted: false };
        // In this order: what has left the way by now is known to the certifier.
        let foreseen = self.certifier.lock().foresee(write_set, footprint);
        match foreseen {
            None => Admission::Enter(passage),
            Some(Foreseen::Lost { key, position }) => Admission::Lost { key, position },
            Some(Foreseen::Known(first)) => Admission::Known(first),
        }
    }

    /// The key over which a transaction lost, by what this copy has applied.
    #[must_use]
    pub fn lost_over(&self, write_set: &WriteSet, footprint: &Footprint) -> Option<u64> {
        self.certifier.lock().written_after(write_set, footprint).map(|(key, _)| key)
    }

    /// A request with this fingerprint arrives, and stands in line at once if it can be told that it will have to.
    #[must_use]
    pub fn arrive(&self, fingerprint: u64) -> InLine<'_> {
        let mut state = self.state.lock();
        let ticket = state.next();
        let mut place = InLine::new(self, ticket, fingerprint);
        if let Some(key) = state.forecasts.line(fingerprint).filter(|key| state.lines.has_line(*key)) {
            state.guessed.insert(ticket, fingerprint);
            place.stand(key, state.join(ticket, key));
        }
        place
    }

    /// Joins the line for a key, unless it stands in one. Gives whether it had the turn, and what to wait for if it has none.
    fn stand(&self, ticket: Ticket, fingerprint: u64, key: u64) -> (bool, Option<oneshot::Receiver<()>>) {
        let mut state = self.state.lock();
        if state.lines.key_of(ticket).is_none() {
            state.forecasts.note(fingerprint, key);
        }
        let had_turn = state.lines.may_enter(ticket);
        (had_turn, state.join(ticket, key))
    }

    /// Its turn takes too long. False if it has none, or if what it is for is on its way.
    fn step_aside(&self, ticket: Ticket) -> bool {
        let next = {
            let mut state = self.state.lock();
            if !state.lines.has_turn(ticket) || state.sent.contains(&ticket) {
                return false;
            }
            state.lines.step_aside(ticket).and_then(|next| state.turns.remove(&next))
        };
        wake(next);
        true
    }

    /// Ends when the fate of what is on its way and writes this key is known; none if nothing is.
    fn fate_of(&self, key: u64) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state.lock();
        let number = state.on_its_way.writer_of(key)?;
        Some(state.fate(number))
    }

    fn end(&self, number: Number, ticket: Option<Ticket>, is_accepted: bool) {
        let mut state = self.state.lock();
        state.on_its_way.remove(number);
        ticket.map(|ticket| state.sent.remove(&ticket));
        let told = state.fates.remove(&number);
        let next = ticket.filter(|_| is_accepted).and_then(|ticket| state.leave(ticket));
        drop(state);
        drop(told);
        wake(next);
    }

    fn leave(&self, ticket: Ticket) {
        let next = {
            let mut state = self.state.lock();
            state.turns.remove(&ticket);
            state.leave(ticket)
        };
        wake(next);
    }
}

fn wake(next: Option<oneshot::Sender<()>>) {
    if let Some(next) = next {
        // Whoever left meanwhile has taken care of the turn.
        let _ = next.send(());
    }
}

type Behind = (u64, Option<oneshot::Receiver<()>>);

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.turns.is_empty() && self.fates.is_empty() && self.sent.is_empty()
    }

    fn enter(
        &mut self,
        ticket: Option<Ticket>,
        write_set: &Arc<WriteSet>,
        footprint: &Arc<Footprint>,
    ) -> Result<Number, Behind> {
        if let Some(ticket) = ticket {
            self.check_guess(ticket, footprint);
            if !self.lines.may_enter(ticket)
                && let Some(key) = self.lines.longest(footprint.all())
            {
                return Err((key, None));
            }
        }
        if let Some((key, number)) = self.on_its_way.meets(write_set, footprint) {
            return Err((key, Some(self.fate(number))));
        }
        let number = self.next();
        self.on_its_way.add(number, Arc::clone(write_set), Arc::clone(footprint));
        self.sent.extend(ticket);
        Ok(number)
    }

    fn check_guess(&mut self, ticket: Ticket, footprint: &Footprint) {
        if let Some(fingerprint) = self.guessed.remove(&ticket)
            && let Some(guessed) = self.lines.key_of(ticket)
            && footprint.all().all(|key| key != guessed)
        {
            self.forecasts.was_wrong(fingerprint);
        }
    }

    fn fate(&mut self, number: Number) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.fates.entry(number).or_default().push(sender);
        receiver
    }

    /// Joins a line; gives what to wait for, if it is not its turn.
    fn join(&mut self, ticket: Ticket, key: u64) -> Option<oneshot::Receiver<()>> {
        self.lines.join(ticket, key);
        if self.lines.has_turn(ticket) {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.turns.insert(ticket, sender);
        Some(receiver)
    }

    /// Leaves a line; gives whom to wake.
    fn leave(&mut self, ticket: Ticket) -> Option<oneshot::Sender<()>> {
        self.guessed.remove(&ticket);
        let next = self.lines.leave(ticket)?;
        self.turns.remove(&next)
    }
}

impl Passage {
    /// The fate of the transaction is known, and applied here. One that was accepted has had its turn.
    pub fn end(mut self, is_accepted: bool) {
        self.is_accepted = is_accepted;
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.contention.end(self.number, self.ticket, self.is_accepted);
    }
}
