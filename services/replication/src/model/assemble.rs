//! Puts entries together that were too large for one message.
//!
//! Parts of one entry have consecutive numbers of one sender, and nothing of the same sender in between. The last part
//! completes the entry, and its position is the place of all of its transactions. Anything else of the sender that counts
//! gives up what was collected; so does the horizon when it reaches the first part, for the base of the rest is then below
//! the horizon as well.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::position::Position;
use super::verdict::VoidReason;
use crate::entry::{Entry, TRANSACTION_MAX_BYTES};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    incarnation: u64,
    next_number: u64,
    first_position: Position,
    body_length: usize,
    parts: Vec<Entry>,
}

/// What a message brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Assembled {
    /// More parts are to come.
    Collected,
    /// The entry is complete.
    Complete {
        body: Bytes,
        /// Where its first part is.
        first_position: Position,
    },
    /// The entry can never be complete.
    Void(VoidReason),
}

/// What was collected of each sender.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Assembler(BTreeMap<Box<str>, Pending>);

impl Assembler {
    /// Takes a message that counts.
    pub(crate) fn take(&mut self, entry: &Entry, position: Position) -> Assembled {
        if entry.part() == 0 {
            self.give_up(entry.csp());
            if entry.is_last_part() {
                return entry.body().map_or(Assembled::Void(VoidReason::Malformed), |body| Assembled::Complete {
                    body,
                    first_position: position,
                });
            }
            self.0.insert(entry.csp().into(), Pending::start(entry, position));
            return Assembled::Collected;
        }
        let Some(mut pending) = self.0.remove(entry.csp()) else {
            return Assembled::Void(VoidReason::Incomplete);
        };
        match pending.add(entry) {
            Err(reason) => Assembled::Void(reason),
            Ok(()) if entry.is_last_part() => pending.complete(),
            Ok(()) => {
                self.0.insert(entry.csp().into(), pending);
                Assembled::Collected
            }
        }
    }

    /// Gives up what was collected of a sender.
    pub(crate) fn give_up(&mut self, csp: &str) {
        self.0.remove(csp);
    }

    pub(crate) fn forget_up_to(&mut self, horizon: Position) {
        self.0.retain(|_, pending| pending.first_position > horizon);
    }
}

impl Pending {
    fn start(entry: &Entry, position: Position) -> Self {
        Self {
            incarnation: entry.incarnation(),
            next_number: entry.number().saturating_add(1),
            first_position: position,
            body_length: entry.body_length(),
            parts: vec![entry.clone()],
        }
    }

    fn add(&mut self, entry: &Entry) -> Result<(), VoidReason> {
        let expected =
            self.parts.first().is_some_and(|first| first.parts() == entry.parts() && first.base() == entry.base())
                && self.parts.len() == entry.part() as usize
                && (self.incarnation, self.next_number) == (entry.incarnation(), entry.number());
        if !expected {
            return Err(VoidReason::Incomplete);
        }
        self.body_length += entry.body_length();
        if self.body_length > TRANSACTION_MAX_BYTES {
            return Err(VoidReason::TooLarge);
        }
        self.next_number = self.next_number.saturating_add(1);
        self.parts.push(entry.clone());
        Ok(())
    }

    fn complete(self) -> Assembled {
        let mut body = BytesMut::with_capacity(self.body_length);
        for part in &self.parts {
            match part.body() {
                Ok(slice) => body.extend_from_slice(&slice),
                Err(_) => return Assembled::Void(VoidReason::Malformed),
            }
        }
        Assembled::Complete { body: body.freeze(), first_position: self.first_position }
    }
}
