//! What this copy knows about a transaction before it is sent: whether the log would refuse it, whatever comes.
//!
//! Only the log decides. But what was written after a transaction's snapshot stays written after it, so one that has lost by
//! what this copy has applied loses at every later place too.

use holdfast_storage::WriteSet;

use super::super::certifier::Certifier;
use super::super::position::{Place, Position};
use super::on_its_way::Footprint;
use crate::entry::Isolation;

/// What is certain about a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreseen {
    /// Its id was committed before.
    Known(Place),
    /// It lost.
    Lost {
        /// The hash of the key, or the range, over which it did.
        key: u64,
        /// Where that was written.
        position: Position,
    },
}

impl Certifier {
    /// What is certain about a transaction; none when it may count, or may have counted before.
    #[must_use]
    pub fn foresee(&self, write_set: &WriteSet, footprint: &Footprint) -> Option<Foreseen> {
        if let Some(first) = write_set.id().and_then(|id| self.ids.lookup(id)) {
            return Some(Foreseen::Known(first));
        }
        if write_set.since().is_some_and(|since| since < self.state.ids_horizon) {
            // It may have been carried out under an id that is forgotten: the publisher refuses it as that, not as one that lost.
            return None;
        }
        self.written_after(write_set, footprint).map(|(key, position)| Foreseen::Lost { key, position })
    }

    /// The first key, or range, of a transaction that was written after its snapshot, and where.
    #[must_use]
    pub fn written_after(&self, write_set: &WriteSet, footprint: &Footprint) -> Option<(u64, Position)> {
        let snapshot = write_set.snapshot;
        if snapshot >= self.state.position {
            return None;
        }
        let is_serializable = self.state.isolation == Isolation::Serializable;
        let read = if is_serializable { footprint.read.as_slice() } else { &[] };
        let mut keys = footprint.written.iter().chain(&footprint.locked).chain(read);
        keys.find_map(|&key| Some((key, self.window.written_after(key, snapshot)?))).or_else(|| {
            let mut ranges = write_set.ranges.iter().zip(&footprint.ranges);
            ranges.find_map(|((start, end), range)| {
                Some((*range, self.window.range_written_after(start, end, snapshot)?))
            })
        })
    }
}
