//! The part of traffic that keeps a request from killing one CSP after the other.
//!
//! A request that two CSPs were carrying out when they were lost is given to no third one to be carried out. The second one says
//! that it begins: it may have been gone already when the request was sent to it, as when a whole rack loses its power. An update may have taken effect all
//! the same, so it goes to a CSP once more, to be told its outcome, or to be refused under its id for good (`refuses`). What has no
//! id that counts in the log is refused here.
//!
//! A CSP that was lost need not have ended: on a machine that stands still for a moment the heartbeats of all are late. What is
//! certain is a new process behind its name, or a verdict that says that nobody listens there. As long as it is open for one of two
//! the request waits: for a heartbeat of one, for such a verdict or a new process, or for its deadline.

use super::Traffic;
use crate::model::effect::{Cause, Effect, Ending};
use crate::model::open_requests::{Open, Ticket, number, ticket};
use crate::model::roster::CspIndex;
use crate::model::suspicion::Suspicion;

/// How long a request waits for the word of a CSP that was lost that it had begun. It was written before the work began, but what
/// tells of the loss is read by another task, which may come first.
const WORD_MS: u64 = 100;

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
    /// A CSP begins to carry out a request that one before was lost with.
    pub(super) fn begun(&mut self, begun: u64) {
        let ticket = ticket(begun);
        if let Some(open) = self.open.get_mut(ticket)
            && number(ticket, open.attempt) == begun
        {
            open.awaits_begin = false;
            open.losses.said();
        }
    }

    /// Notes that a request was at a CSP that was lost. One that was only asked for its outcome was not carried out there. Neither
    /// was one there, as far as is known, that was sent there behind the loss of another CSP and was not begun: those two were lost
    /// at the same time, by something else.
    pub(super) fn note_loss(&mut self, ticket: Ticket, csp: CspIndex, incarnation: &str, cause: Cause, now_ms: u64) {
        let is_certain = matches!(cause, Cause::Deserted | Cause::Replaced);
        let is_loss = is_certain || matches!(cause, Cause::Judged | Cause::NoResponders | Cause::Silent);
        let counts = |open: &&mut Open<C>| is_loss && open.condemned != Condemned::Never && !open.asks;
        let Some(open) = self.open.get_mut(ticket).filter(counts) else { return };
        if open.awaits_begin {
            open.losses.note_unsaid(csp, incarnation, is_certain, now_ms.saturating_add(WORD_MS));
        } else {
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
    pub(super) fn harmless(
        &mut self,
        mut tickets: Vec<Ticket>,
        now_ms: u64,
        effects: &mut Vec<Effect<C>>,
    ) -> Vec<Ticket> {
        tickets.retain(|ticket| {
            let Some(open) = self.open.get_mut(*ticket) else { return false };
            match (open.losses.suspicion(now_ms), open.condemned) {
                (Suspicion::None, _) => true,
                (Suspicion::Open, _) => {
                    self.retries_at_sweep |= open.losses.awaits_word(now_ms);
                    false
                }
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
