//! The part of traffic that goes by the clock on the wall: what begins a transaction passes the gate before it is first sent to
//! be carried out. An update that may be a repetition goes to a CSP at any hour, but only for the outcome that its id has; if
//! that is none, it comes back and is judged like one that comes then.
//!
//! Those who wait are looked at again when the gate turns, when the group is defined anew, and whenever they are placed. One
//! that waits for a primary while the last window closes has not been sent, so it is judged like one that comes then.

use super::{Arrival, Traffic};
use crate::model::effect::{Effect, Ending};
use crate::model::gate::Passage;
use crate::model::open_requests::{Open, Place, Ticket};
use crate::model::route::NoRoute;
use holdfast_schemas::message::{PoolDefinition, UpdateWindows};

impl<C> Traffic<C> {
    /// The group has these pools and windows from now on.
    pub fn arrange(
        &mut self,
        pools: &[PoolDefinition],
        windows: Option<&UpdateWindows>,
        now_ms: u64,
    ) -> Vec<Effect<C>> {
        self.roster.redefine_pools(pools);
        self.gate.redefine(windows);
        self.place_waiting(now_ms)
    }

    /// The clock on the wall says this.
    pub fn look_at_clock(&mut self, utc_ms: u64, now_ms: u64) -> Vec<Effect<C>> {
        self.gate.look_at_clock(utc_ms);
        if self.gate.turned() { self.place_waiting(now_ms) } else { Vec::new() }
    }

    /// What the gate says to a request that comes.
    pub(super) fn passage(&mut self, arrival: &Arrival<C>) -> Passage {
        if !arrival.begins {
            return Passage::Open;
        }
        self.gate.look_at_clock(arrival.utc_ms);
        self.gate.passage(arrival.deadline_ms)
    }

    /// Those of the tickets that may go on now; the others wait for a window, or are ended.
    pub(super) fn admitted(&mut self, tickets: Vec<Ticket>, now_ms: u64) -> (Vec<Ticket>, Vec<Effect<C>>) {
        let (mut admitted, mut effects) = (tickets, Vec::new());
        if self.gate.is_open() {
            return (admitted, effects);
        }
        admitted.retain(|ticket| {
            let held = self.open.get(*ticket).filter(|open| open.begins && !open.begun && !open.asks);
            match held.map(|open| self.gate.passage(open.deadline_ms.saturating_sub(now_ms))) {
                None | Some(Passage::Open) => return true,
                Some(Passage::Wait { wait_ms }) => self.postpone(*ticket, wait_ms, now_ms),
                Some(Passage::Refuse(ending)) => effects.extend(self.end(*ticket, |_| ending)),
            }
            false
        });
        (admitted, effects)
    }

    /// Lets a request wait for the next window. Its patience with CSPs begins when that opens.
    pub(super) fn postpone(&mut self, ticket: Ticket, wait_ms: u64, now_ms: u64) {
        self.open.put(ticket, Place::Waiting(NoRoute::OutsideWindow));
        let patience_ms = self.policy.patience_ms;
        if let Some(open) = self.open.get_mut(ticket) {
            open.give_up_at_ms = open.deadline_ms.min(now_ms.saturating_add(wait_ms).saturating_add(patience_ms));
        }
    }

    /// What can be said of a request when its time is over. The clock on the wall may have been set back, so that a window did
    /// not open when it was to.
    pub(super) fn ending(&self) -> impl Fn(&Open<C>) -> Ending + use<C> {
        let closed = self.gate.passage(0);
        move |open| match (open.place, closed) {
            (Place::Waiting(NoRoute::OutsideWindow), Passage::Refuse(ending)) => ending,
            _ => open.ending(),
        }
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
