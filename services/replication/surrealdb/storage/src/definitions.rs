//! Indexes that transactions which are still open define here.
//!
//! SurrealDB builds an index in transactions of its own, beside the one that defines it, and whoever commits a record before
//! the definition does not know of the index. So nothing may come between what the builder reads and the place of the
//! definition in the log:
//! - a builder that begins to read before the definition is sent makes the definition name the table's records as a range,
//!   so that it is refused if one of them changed since its snapshot. That is every `DEFINE INDEX` that waits for its index;
//! - a builder that has not begun by then (`CONCURRENTLY`) waits until the definition has its place, and reads behind it.
//!
//! A builder is known by what it commits: the state of its build, each time, and with the first one also its tickets.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::keyspace::{Range, under_table};
use crate::recorder::WriteSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Statements run; no builder has begun.
    Open,
    /// A builder may have read already.
    Begun,
    /// The definition is on its way into the log.
    Committing,
}

#[derive(Debug)]
struct Definition {
    phase: Phase,
    /// Dropped with the definition, which wakes whoever waits for its end.
    end: watch::Sender<()>,
}

/// The indexes that open transactions of this copy define.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// How many there are. Nearly always none, and then nobody has to look for one.
    count: AtomicUsize,
    open: Mutex<HashMap<Vec<u8>, Definition>>,
}

/// One of them, held by the transaction that defines it until that is over.
pub(crate) struct DefinedIndex {
    definitions: Arc<Definitions>,
    index: Vec<u8>,
    records: Range,
}

impl Definitions {
    /// A transaction defines `index` over `records`.
    pub fn define(self: &Arc<Self>, index: Vec<u8>, records: Range) -> DefinedIndex {
        let definition = Definition { phase: Phase::Open, end: watch::Sender::new(()) };
        if self.open.lock().insert(index.clone(), definition).is_none() {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        DefinedIndex { definitions: Arc::clone(self), index, records }
    }

    /// To be called before `write_set` is committed: holds a builder back for as long as the definition of its index is on its
    /// way.
    pub async fn hold_builders(&self, write_set: &WriteSet) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        for index in builds(write_set) {
            let end = self.begin(&index);
            if let Some(mut end) = end {
                // An error is the end.
                while end.changed().await.is_ok() {}
            }
        }
    }

    /// Notes that the builder of `index` goes on; or what to wait for before it may.
    fn begin(&self, index: &[u8]) -> Option<watch::Receiver<()>> {
        let mut open = self.open.lock();
        let definition = open.get_mut(index)?;
        if definition.phase == Phase::Committing {
            return Some(definition.end.subscribe());
        }
        definition.phase = Phase::Begun;
        None
    }
}

impl DefinedIndex {
    /// The definition is sent now. Gives the records that must not have changed, if a builder may have read them.
    pub fn commit(&self) -> Option<Range> {
        let mut open = self.definitions.open.lock();
        let definition = open.get_mut(&self.index)?;
        if definition.phase == Phase::Begun {
            return Some(self.records.clone());
        }
        definition.phase = Phase::Committing;
        None
    }
}

impl Drop for DefinedIndex {
    fn drop(&mut self) {
        if self.definitions.open.lock().remove(&self.index).is_some() {
            self.definitions.count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The indexes whose builders go on with this write set. A builder's first one, which only makes it the builder, has read
/// nothing and is not among them: the statement that defines the index waits for it.
fn builds(write_set: &WriteSet) -> Vec<Vec<u8>> {
    let set = || write_set.writes.iter().filter(|(_, value)| value.is_some()).filter_map(|(key, _)| under_table(key));
    let begun: Vec<_> = set().filter_map(|key| key.index_begun()).collect();
    set().filter_map(|key| key.index_in_build()).filter(|index| !begun.contains(index)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn index() -> Vec<u8> {
        b"/*\0\0\0\x01*\0\0\0\x02*item\0\0\0\0\x07".to_vec()
    }

    fn write_set(kinds: &[&[u8]]) -> WriteSet {
        let (table, number) = (b"/*\0\0\0\x01*\0\0\0\x02*item\0".as_slice(), b"\0\0\0\x07".as_slice());
        let writes = kinds.iter().map(|kind| ([table, kind, number].concat(), Some(vec![1]))).collect();
        WriteSet { writes, ..WriteSet::default() }
    }

    #[tokio::test]
    async fn a_builder_that_began_makes_the_definition_name_the_records() {
        let definitions = Arc::new(Definitions::default());
        let records = (b"from".to_vec(), b"to".to_vec());
        let defined = definitions.define(index(), records.clone());
        definitions.hold_builders(&write_set(&[b"!bs", b"!bt"])).await;
        definitions.hold_builders(&write_set(&[b"*x"])).await;
        assert_eq!(definitions.open.lock().get(&index()).map(|found| found.phase), Some(Phase::Open));
        definitions.hold_builders(&write_set(&[b"!bs"])).await;
        assert_eq!(defined.commit(), Some(records));
        drop(defined);
        assert_eq!(definitions.count.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn a_builder_waits_while_the_definition_is_on_its_way() {
        let definitions = Arc::new(Definitions::default());
        let defined = definitions.define(index(), (b"from".to_vec(), b"to".to_vec()));
        assert_eq!(defined.commit(), None);
        let set = write_set(&[b"!bs"]);
        let mut held = std::pin::pin!(definitions.hold_builders(&set));
        let early = tokio::time::timeout(Duration::from_millis(50), &mut held).await;
        assert!(early.is_err(), "it went on before the definition had its place");
        drop(defined);
        held.await;
    }
}
