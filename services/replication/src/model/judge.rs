//! Certifies one transaction: did anything that it depends on change between its snapshot and its place in the log?
//!
//! It depends on the keys that it wrote (the first committer wins, also where nobody read the key, and where the value stays
//! the same), on the keys that it read under lock, on the ranges that it names, and in a serializable group on the keys that it
//! read. Under snapshot isolation a sender names a range only where it has to be guarded: the records that an index or a view was
//! made from, and a table that it removed. What was accepted before it in the same entry counts as after its snapshot, for the
//! snapshot is below the position.

use super::certifier::Certifier;
use super::position::Place;
use super::verdict::{Cause, Verdict};
use super::window::hash_key;
use crate::entry::{Isolation, Transaction};

impl Certifier {
    /// Judges a transaction and, if it is accepted, remembers its id and what it wrote.
    pub(super) fn judge(&mut self, transaction: Transaction<'_>, place: Place) -> Verdict {
        let verdict = self.certify(transaction);
        if verdict.is_accepted() {
            for (write, &hash) in transaction.writes().zip(&self.hashes) {
                self.window.write(hash, write.key);
            }
            if let Some(id) = transaction.id() {
                self.ids.remember(place, id, self.state.clock.time_ms());
            }
        }
        verdict
    }

    fn certify(&mut self, transaction: Transaction<'_>) -> Verdict {
        // Before all else: a repeated transaction would conflict with its own first execution.
        if let Some(first) = transaction.id().and_then(|id| self.ids.lookup(id)) {
            return Verdict::Duplicate(first);
        }
        if transaction.snapshot() < self.state.horizon {
            return Verdict::TooOld { horizon: self.state.horizon };
        }
        let serializable = self.state.isolation == Isolation::Serializable;
        if serializable && !transaction.serializable() {
            return Verdict::ReadsUnknown;
        }
        self.hashes.clear();
        self.hashes.extend(transaction.writes().map(|write| hash_key(write.key)));
        let conflict = self.written(transaction).or_else(|| self.locked(transaction));
        let conflict = if serializable { conflict.or_else(|| self.read(transaction)) } else { conflict };
        conflict.or_else(|| self.ranges(transaction)).unwrap_or(Verdict::Accepted)
    }

    fn written(&self, transaction: Transaction<'_>) -> Option<Verdict> {
        let mut keys = transaction.writes().zip(&self.hashes).filter(|(write, _)| !write.stamped);
        let position = keys.find_map(|(_, &hash)| self.window.written_after(hash, transaction.snapshot()))?;
        Some(Verdict::Conflict { position, cause: Cause::Written })
    }

    fn locked(&self, transaction: Transaction<'_>) -> Option<Verdict> {
        let after = |key| self.window.written_after(hash_key(key), transaction.snapshot());
        let position = transaction.locked().find_map(after)?;
        Some(Verdict::Conflict { position, cause: Cause::Locked })
    }

    fn read(&self, transaction: Transaction<'_>) -> Option<Verdict> {
        let after = |key| self.window.written_after(hash_key(key), transaction.snapshot());
        let position = transaction.reads().find_map(after)?;
        Some(Verdict::Conflict { position, cause: Cause::Read })
    }

    fn ranges(&self, transaction: Transaction<'_>) -> Option<Verdict> {
        let after = |(begin, end)| self.window.range_written_after(begin, end, transaction.snapshot());
        let position = transaction.ranges().find_map(after)?;
        Some(Verdict::Conflict { position, cause: Cause::Range })
    }
}
