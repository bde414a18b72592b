//! What this process has handed to the log and not seen there yet, by the keys that it writes.
//!
//! Whoever wants one of these keys is certain to lose if the earlier one counts: its snapshot does not show that. So it is not
//! sent, and runs when the fate of the earlier one is known.

use std::collections::HashMap;
use std::sync::Arc;

use holdfast_storage::{WriteSet, is_changefeed_placeholder};

use super::super::window::hash_key;

/// Names a transaction on its way.
pub type Number = u64;

/// What the verdict on a transaction depends on: the hashes of its keys. A range stands for itself, as a key that no one writes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Keys that it writes.
    pub written: Vec<u64>,
    /// Keys that it read under lock.
    pub locked: Vec<u64>,
    /// Keys that it read plainly, as serializable groups certify them.
    pub read: Vec<u64>,
    /// Ranges that it read.
    pub ranges: Vec<u64>,
}

impl Footprint {
    /// Of a transaction. Changefeed keys that wait for their stamp are each transaction's own.
    #[must_use]
    pub fn of(write_set: &WriteSet) -> Self {
        let written = write_set.writes.iter().map(|(key, _)| key);
        let written = written.filter(|key| !(write_set.stamped && is_changefeed_placeholder(key)));
        let hashed = |keys: &[Vec<u8>]| keys.iter().map(|key| hash_key(key)).collect();
        Self {
            written: written.map(|key| hash_key(key)).collect(),
            locked: hashed(&write_set.locked),
            read: hashed(&write_set.reads),
            ranges: write_set
                .ranges
                .iter()
                .map(|(start, end)| hash_key(start).rotate_left(1) ^ hash_key(end))
                .collect(),
        }
    }

    /// The keys, those first that it writes.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        self.written.iter().chain(&self.locked).chain(&self.read).copied()
    }

    /// The keys and the ranges.
    pub fn all(&self) -> impl Iterator<Item = u64> {
        self.keys().chain(self.ranges.iter().copied())
    }
}

/// All that is on its way.
#[derive(Debug, Default)]
pub struct OnItsWay {
    written: HashMap<u64, Number>,
    transactions: HashMap<Number, (Arc<WriteSet>, Arc<Footprint>)>,
}

impl OnItsWay {
    /// The first key of a transaction, or range, that something on its way writes, and what that is.
    #[must_use]
    pub fn meets(&self, write_set: &WriteSet, footprint: &Footprint) -> Option<(u64, Number)> {
        if self.transactions.is_empty() {
            return None;
        }
        let key = footprint.keys().find_map(|key| Some((key, *self.written.get(&key)?)));
        key.or_else(|| {
            let mut ranges = write_set.ranges.iter().zip(&footprint.ranges);
            ranges.find_map(|((start, end), range)| Some((*range, self.writes_in(start, end)?)))
        })
    }

    fn writes_in(&self, start: &[u8], end: &[u8]) -> Option<Number> {
        let mut transactions = self.transactions.iter();
        transactions.find(|(_, (write_set, _))| writes_in(write_set, start, end)).map(|(number, _)| *number)
    }

    /// What is on its way and writes this key.
    #[must_use]
    pub fn writer_of(&self, key: u64) -> Option<Number> {
        self.written.get(&key).copied()
    }

    /// A transaction that meets nothing is on its way.
    pub fn add(&mut self, number: Number, write_set: Arc<WriteSet>, footprint: Arc<Footprint>) {
        self.written.extend(footprint.written.iter().map(|key| (*key, number)));
        self.transactions.insert(number, (write_set, footprint));
    }

    /// Its fate is known.
    pub fn remove(&mut self, number: Number) {
        let Some((_, footprint)) = self.transactions.remove(&number) else { return };
        for key in &footprint.written {
            // Two keys of one transaction may share a hash.
            self.written.remove(key);
        }
        debug_assert!(!self.transactions.is_empty() || self.written.is_empty(), "keys of nobody");
    }
}

/// Keys are in order.
fn writes_in(write_set: &WriteSet, start: &[u8], end: &[u8]) -> bool {
    let writes = &write_set.writes;
    let at = writes.partition_point(|(key, _)| key.as_slice() < start);
    writes.get(at).is_some_and(|(key, _)| key.as_slice() < end && !is_changefeed_placeholder(key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn transaction(writes: &[u8], reads: &[u8], range: Option<(u8, u8)>) -> WriteSet {
        let mut writes: Vec<_> = writes.iter().map(|key| (vec![*key], Some(Vec::new()))).collect();
        writes.sort();
        writes.dedup();
        let reads = reads.iter().map(|key| vec![*key]).collect();
        let ranges = range.into_iter().map(|(start, end)| (vec![start], vec![end])).collect();
        WriteSet { writes, reads, ranges, ..WriteSet::default() }
    }

    fn wants(write_set: &WriteSet, key: &[u8]) -> bool {
        write_set.writes.iter().any(|(written, _)| written == key)
            || write_set.reads.iter().any(|read| read == key)
            || write_set.ranges.iter().any(|(start, end)| start.as_slice() <= key && key < end.as_slice())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Against one that compares all keys: what meets nothing enters, and one of those on their way leaves now and then.
        #[test]
        fn it_says_what_certainly_conflicts(
            arrivals in prop::collection::vec(
                (prop::collection::vec(0..20_u8, 0..3), prop::collection::vec(0..20_u8, 0..3),
                 prop::option::of((0..20_u8, 0..20_u8)), any::<prop::sample::Index>()), 1..40)
        ) {
            let mut on_its_way = OnItsWay::default();
            let mut plain: Vec<(Number, WriteSet)> = Vec::new();
            for (number, (writes, reads, range, leaving)) in (0..).zip(arrivals) {
                let (write_set, same) = (transaction(&writes, &reads, range), transaction(&writes, &reads, range));
                let footprint = Footprint::of(&write_set);
                let before = plain.iter().filter(|(_, earlier)| earlier.writes.iter().any(|(key, _)| wants(&write_set, key)));
                let before: Vec<_> = before.map(|(number, _)| *number).collect();
                match on_its_way.meets(&write_set, &footprint) {
                    Some((key, met)) => {
                        prop_assert!(before.contains(&met));
                        prop_assert!(footprint.all().any(|own| own == key));
                    }
                    None => {
                        prop_assert!(before.is_empty());
                        on_its_way.add(number, Arc::new(write_set), Arc::new(footprint));
                        plain.push((number, same));
                    }
                }
                if leaving.index(3) == 0 && !plain.is_empty() {
                    let (left, _) = plain.remove(leaving.index(plain.len()));
                    on_its_way.remove(left);
                }
            }
        }
    }
}
