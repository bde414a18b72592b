//! The requests that were taken and have not ended: a cloakroom with a ticket for each.
//!
//! Each is at exactly one CSP, or waits for one. The number on the ticket that a CSP gets names the request and the attempt:
//! "done" counts whoever says it, because the answer has left; "returned" counts only for the attempt that is under way,
//! because an earlier CSP has no say any more in what became of it.

use super::roster::CspIndex;
use super::route::{Demand, NoRoute};
use super::suspicion::Losses;
use super::traffic::Condemned;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Bits of a number that hold the attempt; later attempts begin again at 0, long after anybody could mix them up.
const ATTEMPT_BITS: u32 = 8;
/// A table that was this much larger gives its room back.
const SPARE_FACTOR: usize = 16;
/// Below that it never does.
const KEPT_CAPACITY: usize = 4_096;

/// Names a request in the table, in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl std::fmt::Display for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The number that a CSP is given for this attempt at this request.
pub fn number(ticket: Ticket, attempt: u32) -> u64 {
    (ticket.0 << ATTEMPT_BITS) | u64::from(attempt) & ((1 << ATTEMPT_BITS) - 1)
}

/// The ticket in a number.
pub fn ticket(number: u64) -> Ticket {
    Ticket(number >> ATTEMPT_BITS)
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A CSP has it.
    At {
        /// The CSP.
        csp: CspIndex,
        /// Since when.
        since_ms: u64,
    },
    /// It waits, because of that.
    Waiting(NoRoute),
}

/// One request.
#[derive(Debug)]
pub struct Open<C> {
    /// What travels.
    pub cargo: Arc<C>,
    /// What its CSP has to fulfil.
    pub demand: Demand,
    /// Whether it begins a transaction, so that it has to pass the gate before it is first sent to be carried out.
    pub begins: bool,
    /// Size of its body.
    pub bytes: usize,
    /// Whether somebody waits for an answer. If not, it is followed only until it was sent.
    pub has_reply: bool,
    /// When its answer stops mattering.
    pub deadline_ms: u64,
    /// Until when it waits, as long as it was never sent to be carried out.
    pub give_up_at_ms: u64,
    /// Where it is.
    pub place: Place,
    /// How often it was sent.
    pub attempt: u32,
    /// Whether it goes for the outcome that its id has already, because it may be a repetition and no update window is open.
    pub asks: bool,
    /// Whether it was sent to be carried out.
    pub begun: bool,
    /// How often it was given back.
    pub returns: u32,
    /// Until when the CSP that gave it back is avoided.
    pub avoided_until_ms: u64,
    /// Whether a CSP that does not have it any more may have carried it out.
    pub may_have_run: bool,
    /// Until when a message of an open transaction is not sent to the holder of that again.
    pub rests_until_ms: u64,
    /// Whether the CSP that had it last gave it back because its time was over before the work began.
    pub is_time_over: bool,
    /// Whether a CSP before was lost with it, and the one that it was sent to then has not said that it began.
    pub awaits_begin: bool,
    /// The processes that were lost while they had it.
    pub losses: Losses,
    /// How it is refused if those were too many.
    pub condemned: Condemned,
    /// Whether it goes to a CSP to be refused for good, or to be told its outcome.
    pub refuses: bool,
}

impl<C> Open<C> {
    /// Whether it is a message of an open transaction, for the CSP that holds it.
    pub fn is_bound_to(&self, csp: CspIndex) -> bool {
        self.demand.holder == Some(csp)
    }
}

/// All open requests of a group.
#[derive(Debug)]
pub struct OpenRequests<C> {
    table: HashMap<Ticket, Open<C>, foldhash::fast::RandomState>,
    waiting: BTreeSet<Ticket>,
    next: u64,
    bytes: usize,
}

impl<C> Default for OpenRequests<C> {
    fn default() -> Self {
        Self { table: HashMap::default(), waiting: BTreeSet::new(), next: 1, bytes: 0 }
    }
}

impl<C> OpenRequests<C> {
    /// Takes a request in, and gives it a ticket.
    pub fn insert(&mut self, open: Open<C>) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.bytes += open.bytes;
        if matches!(open.place, Place::Waiting(_)) {
            self.waiting.insert(ticket);
        }
        self.table.insert(ticket, open);
        ticket
    }

    /// Hands a request out for good.
    pub fn remove(&mut self, ticket: Ticket) -> Option<Open<C>> {
        let open = self.table.remove(&ticket)?;
        self.bytes -= open.bytes;
        if matches!(open.place, Place::Waiting(_)) {
            self.waiting.remove(&ticket);
        }
        Some(open)
    }

    /// Puts a request to another place, and says where it was.
    pub fn put(&mut self, ticket: Ticket, place: Place) -> Option<Place> {
        let open = self.table.get_mut(&ticket)?;
        match place {
            Place::Waiting(_) => self.waiting.insert(ticket),
            Place::At { .. } => self.waiting.remove(&ticket),
        };
        Some(std::mem::replace(&mut open.place, place))
    }

    /// A request.
    pub fn get(&self, ticket: Ticket) -> Option<&Open<C>> {
        self.table.get(&ticket)
    }

    /// A request, to be changed; its place is changed by [`Self::put`] alone.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Open<C>> {
        self.table.get_mut(&ticket)
    }

    /// All requests, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket, &Open<C>)> {
        self.table.iter().map(|(ticket, open)| (*ticket, open))
    }

    /// All requests, to be changed; their places are changed by [`Self::put`] alone.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Open<C>> {
        self.table.values_mut()
    }

    /// Those that wait, the oldest first.
    pub fn waiting(&self) -> Vec<Ticket> {
        self.waiting.iter().copied().collect()
    }

    /// Those that a CSP has, the oldest first.
    pub fn at(&self, csp: CspIndex) -> Vec<Ticket> {
        let is_there = |open: &Open<C>| matches!(open.place, Place::At { csp: at, .. } if at == csp);
        let mut there: Vec<_> = self.iter().filter(|(_, open)| is_there(open)).map(|(ticket, _)| ticket).collect();
        there.sort_unstable();
        there
    }

    /// Whether somebody waits.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The sum of their bodies.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back room that a crowd has left, so that looking through the table stays cheap.
    pub fn shrink(&mut self) {
        let spare = self.table.capacity() > KEPT_CAPACITY.max(self.table.len() * SPARE_FACTOR);
        if spare {
            self.table.shrink_to(KEPT_CAPACITY.max(self.table.len() * 2));
        }
    }
}
