//! The part of traffic that keeps a request from killing one CSP after the other.
//!
//! A request that was at two CSPs when they ended is given to no third one to be carried out. An update may have taken effect all
//! the same, so it goes to a CSP once more, to be told its outcome, or to be refused under its id for good (`refuses`). What has no
//! id that counts in the log is refused here.
//!
//! A CSP that was lost need not have ended. As long as that is open for two of them the request waits: for a heartbeat of one, for
//! a verdict or a new process, or for its deadline.

use super::Traffic;
use crate::model::effect::{Cause, Effect, Ending};
use crate::model::open_requests::{Open, Ticket};
use crate::model::roster::CspIndex;
use crate::model::suspicion::Suspicion;

/// How a request is refused that two CSPs did not survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condemned {
    /// By a CSP, under its id: it may have taken effect.
    ByItsId,
    /// Here: it changes nothing.
    Here,
    /// Not at all: no other CSP carries it out, or it has nothing that could end one.
    Never,
}

impl<C> Traffic<C> {
    /// Notes that a request was at a CSP that was lost. One that was only asked for its outcome was not carried out there.
    pub(super) fn note_loss(&mut self, ticket: Ticket, csp: CspIndex, incarnation: &str, cause: Cause) {
        let is_certain = matches!(cause, Cause::Judged | Cause::Replaced);
        let is_loss = is_certain || matches!(cause, Cause::NoResponders | Cause::Silent);
        let counts = |open: &&mut Open<C>| is_loss && open.condemned != Condemned::Never && !open.asks;
        if let Some(open) = self.open.get_mut(ticket).filter(counts) {
            open.losses.note(csp, incarnation, is_certain);
        }
    }

    /// A process is gone for certain.
    pub(super) fn confirm_loss(&mut self, csp: CspIndex, incarnation: &str) {
        self.open.iter_mut().for_each(|open| open.losses.confirm(csp, incarnation));
    }

    /// A process that was held for lost lives.
    pub(super) fn refute_loss(&mut self, csp: CspIndex) {
        if let Some(incarnation) = self.roster.member(csp).map(|member| member.incarnation().to_owned()) {
            self.open.iter_mut().for_each(|open| open.losses.refute(csp, &incarnation));
        }
    }

    /// Those of the tickets that may go to a CSP; the others wait, or are ended.
    pub(super) fn harmless(&mut self, mut tickets: Vec<Ticket>, effects: &mut Vec<Effect<C>>) -> Vec<Ticket> {
        tickets.retain(|ticket| {
            let Some(open) = self.open.get_mut(*ticket) else { return false };
            match (open.losses.suspicion(), open.condemned) {
                (Suspicion::None, _) => true,
                (Suspicion::Open, _) => false,
                (Suspicion::Certain, Condemned::Here | Condemned::Never) => {
                    effects.extend(self.end(*ticket, |_| Ending::Kills));
                    false
                }
                (Suspicion::Certain, Condemned::ByItsId) => {
                    open.refuses = true;
                    true
                }
            }
        });
        tickets
    }
}

#[cfg(test)]
#[path = "kills_tests.rs"]
mod tests;
