//! Who sent entries, and up to which number: fences off what a CSP's earlier life, or a lost publish, may still bring.
//!
//! For each CSP the highest (incarnation, number) of the log is known. An entry at or below it is void: its sender gave it
//! up for lost, or is dead. A higher number than the next is fine and voids the missing ones for good. So a sender whose
//! publish went unanswered sends something else behind it, and knows the fate of both when it applies the later one.
//!
//! # Why forgetting a CSP is safe
//! A CSP is forgotten when the entry that last moved it on, at position `u`, is at or below the horizon (`u <= horizon`).
//! Let an entry `e` that should be void, since it is at or below the highest known, come after that.
//! - Same incarnation: numbers rise, so `e` was sealed no later than the entry at `u`, and its base was below `u`.
//! - Lower incarnation: a CSP that applies an entry of a higher incarnation of itself stops sending. So `e` was sealed by a
//!   process that had not applied `u`: its base was below `u`.
//!
//! Either way `base < u <= horizon`, and an entry whose base is below the horizon is void by that rule alone. It is not
//! registered either, as its number says nothing about later ones. Senders hold up their end: a number is never used for two
//! different messages, `base` is read when sealing, and an incarnation is higher than any that the CSP knows of itself.

use std::collections::BTreeMap;

use super::position::Position;

/// What is known of one CSP as a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginState {
    /// Its latest incarnation.
    pub incarnation: u64,
    /// The highest number of that incarnation.
    pub number: u64,
    /// The position of that entry.
    pub position: Position,
}

/// All senders with an entry behind the horizon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origins(BTreeMap<Box<str>, OriginState>);

impl Origins {
    pub(crate) fn get(&self, csp: &str) -> Option<OriginState> {
        self.0.get(csp).copied()
    }

    /// True if an entry with this number must not count any more.
    pub(crate) fn is_superseded(&self, csp: &str, incarnation: u64, number: u64) -> bool {
        self.0.get(csp).is_some_and(|known| (incarnation, number) <= (known.incarnation, known.number))
    }

    pub(crate) fn register(&mut self, csp: &str, state: OriginState) {
        match self.0.get_mut(csp) {
            Some(known) => *known = state,
            None => {
                self.0.insert(csp.into(), state);
            }
        }
    }

    pub(crate) fn forget_up_to(&mut self, horizon: Position) {
        self.0.retain(|_, known| known.position > horizon);
    }
}
