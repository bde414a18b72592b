//! Which locks there are, by name and by when their leases end: so that nobody has to go through all of them to count those
//! that are held, or to find those whose lease is over.
//!
//! It says nothing about who may have a lock, which is decided from the copy (`lock`). It follows the keys that were applied,
//! so it is the same on every copy at the same position.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::lock::Lock;

/// What became of one lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockWrite {
    /// Its name.
    pub name: Box<str>,
    /// When its lease ends, in log time; none when it was given back or removed.
    pub expires_at_ms: Option<u64>,
    /// The id under which that was done, if it had one.
    pub id: Option<Box<str>>,
}

impl LockWrite {
    /// From what was written under the name of a lock, by a transaction with this id.
    #[must_use]
    pub fn of(name: &str, value: Option<&[u8]>, id: Option<&str>) -> Self {
        let expires_at_ms = value.and_then(Lock::decode).map(|lock| lock.expires_at_ms);
        Self { name: name.into(), expires_at_ms, id: id.map(Into::into) }
    }
}

/// All locks that have a key.
#[derive(Debug, Default)]
pub struct LockTable {
    expires_at_ms: HashMap<Arc<str>, u64>,
    /// By the end of the lease, those whose lease was not over at the last look.
    held: BTreeSet<(u64, Arc<str>)>,
    /// The same for those whose lease was over.
    over: BTreeSet<(u64, Arc<str>)>,
}

impl LockTable {
    /// A lock was written.
    pub fn write(&mut self, write: &LockWrite) {
        if let Some((name, ends_ms)) = self.expires_at_ms.remove_entry(&*write.name) {
            let entry = (ends_ms, name);
            let _ = self.held.remove(&entry) || self.over.remove(&entry);
        }
        if let Some(ends_ms) = write.expires_at_ms {
            let name: Arc<str> = Arc::from(&*write.name);
            self.expires_at_ms.insert(Arc::clone(&name), ends_ms);
            self.held.insert((ends_ms, name));
        }
    }

    /// How many are held.
    pub fn held(&mut self, now_ms: u64) -> usize {
        self.look(now_ms);
        self.held.len()
    }

    /// How many have a lease that is over.
    pub fn over(&mut self, now_ms: u64) -> usize {
        self.look(now_ms);
        self.over.len()
    }

    /// Up to `most` of those whose lease is over, those first that ended first.
    pub fn oldest_over(&mut self, most: usize, now_ms: u64) -> Vec<Arc<str>> {
        self.look(now_ms);
        self.over.iter().take(most).map(|(_, name)| Arc::clone(name)).collect()
    }

    /// Each lock is moved once for each time that it was written.
    fn look(&mut self, now_ms: u64) {
        while let Some((ends_ms, _)) = self.held.first()
            && *ends_ms <= now_ms
        {
            self.over.extend(self.held.pop_first());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        /// Against one that goes through all of them at every question.
        #[test]
        fn it_counts_as_one_that_looks_at_all_of_them(steps in prop::collection::vec((0..8_u8, 0..400_u64, 0..4_u8), 1..80)) {
            let mut table = LockTable::default();
            let mut all = BTreeMap::new();
            let mut now_ms = 0;
            for (name, ms, what) in steps {
                let name: Box<str> = format!("lock {name}").into();
                match what {
                    0 => { all.remove(&name); }
                    1 => now_ms += ms,
                    _ => { all.insert(name.clone(), now_ms + ms); }
                }
                if what != 1 {
                    let expires_at_ms = all.get(&name).copied();
                    table.write(&LockWrite { name, expires_at_ms, id: None });
                }
                let mut over: Vec<_> = all.iter().filter(|(_, ends_ms)| **ends_ms <= now_ms).collect();
                over.sort_by_key(|(name, ends_ms)| (**ends_ms, *name));
                let over: Vec<&str> = over.into_iter().map(|(name, _)| &**name).collect();
                prop_assert_eq!(table.over(now_ms), over.len());
                prop_assert_eq!(table.held(now_ms), all.len() - over.len());
                let oldest = table.oldest_over(3, now_ms);
                prop_assert_eq!(oldest.iter().map(|name| &**name).collect::<Vec<_>>(), &over[..over.len().min(3)]);
            }
        }
    }
}
