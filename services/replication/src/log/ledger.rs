//! What this process has sent to the log and not seen there yet.
//!
//! Entries of one process are numbered upwards, and the certifier voids an entry whose number was passed. So when an entry
//! with number `n` comes out of the log, the fate of every lower number is known: it came out before, or it never counts.
//! No acknowledgement and no time-out is needed to know it, and whatever was lost can be sent again under a new number
//! without any danger of being applied twice.
//!
//! Invariant: a number is in the ledger exactly from the moment it is sealed until its fate is known.

use std::collections::BTreeMap;

/// The ledger of one process; `T` is what waits for an entry.
#[derive(Debug)]
pub struct Ledger<T> {
    next_number: u64,
    /// By the number of the entry's last message, which is the one that completes it.
    waiting: BTreeMap<u64, Vec<T>>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { next_number: 1, waiting: BTreeMap::new() }
    }
}

impl<T> Ledger<T> {
    /// The number that the next message gets.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Notes that an entry of `messages` messages was sealed, and who waits for it.
    pub fn seal(&mut self, messages: u64, waiting: Vec<T>) {
        self.next_number += messages.max(1);
        self.waiting.insert(self.next_number - 1, waiting);
    }

    /// Entries on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.waiting.len()
    }

    /// The number of the entry that has been on its way for longest.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.waiting.keys().next().copied()
    }

    /// A message with this number came out of the log: gives what waited for lower ones, which are lost.
    pub fn lost_below(&mut self, number: u64) -> Vec<T> {
        let still_waiting = self.waiting.split_off(&number);
        std::mem::replace(&mut self.waiting, still_waiting).into_values().flatten().collect()
    }

    /// The entry that ends with this number came out of the log: gives what waited for it, in the order of the entry.
    pub fn settle(&mut self, number: u64) -> Vec<T> {
        self.waiting.remove(&number).unwrap_or_default()
    }

    /// Gives everything that waits; for a process that stops.
    pub fn abandon(&mut self) -> Vec<T> {
        std::mem::take(&mut self.waiting).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        /// Entries are lost, or come out late, in any pattern: everyone who waits is answered exactly once, and is told
        /// "lost" exactly when the log would void the entry.
        #[test]
        fn every_waiter_is_answered_once(arrivals in proptest::collection::vec((1..4_u64, any::<bool>()), 1..40)) {
            let mut ledger = Ledger::default();
            let mut sent = Vec::new();
            for (waiter, (messages, delivered)) in arrivals.iter().enumerate() {
                let first = ledger.next_number();
                ledger.seal(*messages, vec![waiter]);
                sent.push((waiter, first, first + messages - 1, *delivered));
            }
            let mut answered = vec![0; sent.len()];
            for (waiter, first, last, delivered) in &sent {
                if !delivered { continue; }
                for number in *first..=*last {
                    for lost in ledger.lost_below(number) {
                        prop_assert!(lost < *waiter);
                        answered[lost] += 1;
                    }
                }
                let settled = ledger.settle(*last);
                prop_assert_eq!(&settled, &vec![*waiter]);
                answered[*waiter] += 1;
            }
            for left in ledger.abandon() { answered[left] += 1; }
            prop_assert!(answered.iter().all(|times| *times == 1));
        }
    }
}
