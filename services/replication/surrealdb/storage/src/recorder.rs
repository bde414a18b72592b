//! Remembers what a write transaction did, and gives it out as a write set.
//!
//! Invariant: after any sequence of writes, nested savepoints, releases and rollbacks, `writes` holds exactly the keys
//! that the scratch transaction has changed, with the values that it shows for them. A key that was touched and rolled
//! back is gone again (it would breed false conflicts); a key rewritten with the same bytes stays (SurrealDB does so on
//! purpose, to force a conflict).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::keyspace::{Range, is_changefeed_placeholder, is_observable, under_definition, under_table};
use crate::limits::Size;
use crate::request::Request;

type Value = Option<Vec<u8>>;

/// Everything that the log and the certifier need of one transaction.
#[derive(Debug, Default)]
pub struct WriteSet {
    /// The position that the transaction's snapshot reflects.
    pub snapshot: u64,
    /// Key and new value in key order; `None` deletes.
    pub writes: Vec<(Vec<u8>, Value)>,
    /// Keys read under lock: no one may have written them since the snapshot.
    pub locked: Vec<Vec<u8>>,
    /// Keys read plainly, in a group that certifies reads; without those that were also written or locked.
    pub reads: Vec<Vec<u8>>,
    /// Ranges read, start inclusive, end exclusive, in a group that certifies reads; in every group, what it made something
    /// from (the records under an index or a view) and what it removed as a whole.
    pub ranges: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether what was read plainly is in here, as serializable groups demand.
    pub certified_reads: bool,
    /// Whether some key is a changefeed key that waits for its stamp.
    pub stamped: bool,
    /// The client's request, when the transaction carries one out.
    pub request: Option<Arc<Request>>,
}

impl WriteSet {
    /// Whether committing it would change nothing and guard nothing, so that it needs no place in the log.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.locked.is_empty() && self.id().is_none()
    }

    /// The id under which the outcome is kept.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.request.as_ref().and_then(|request| request.id())
    }

    /// What is asked for under the id, as one number to keep with it.
    #[must_use]
    pub fn fingerprint(&self) -> Option<u64> {
        self.request.as_ref().and_then(|request| request.fingerprint())
    }

    /// Where the copy was when the request came.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        self.request.as_ref().and_then(|request| request.since())
    }

    /// Whether the commit may be handed to the primary, although it has an id.
    #[must_use]
    pub fn is_handed_on(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.is_handed_on())
    }

    /// The results to keep with the id.
    #[must_use]
    pub fn results(&self) -> Option<&Bytes> {
        self.request.as_ref().and_then(|request| request.results())
    }
}

/// One savepoint: what each key's record was when the scope first touched it.
#[derive(Debug, Default)]
struct Scope {
    before: BTreeMap<Vec<u8>, Option<Value>>,
}

/// The record of one open write transaction.
#[derive(Debug, Default)]
pub struct Recorder {
    certifies_reads: bool,
    writes: BTreeMap<Vec<u8>, Value>,
    scopes: Vec<Scope>,
    locked: Vec<Vec<u8>>,
    reads: Vec<Vec<u8>>,
    ranges: Vec<Range>,
    written_bytes: usize,
    scratch_bytes: usize,
    /// Bytes of what was read, as noted since it was last compacted, and what is left of it.
    noted_bytes: usize,
    read_bytes: usize,
}

/// What writing a key once costs the scratch beside its key and value.
const SCRATCH_WRITE_BYTES: usize = 128;
/// What was read is not compacted below this: most transactions never come to it.
const COMPACTED_MIN_BYTES: usize = 4 << 20;
/// What a key that was read takes in an entry beside itself.
const READ_BYTES: usize = 2;

impl Recorder {
    /// An empty record; reads are kept only when the group certifies them.
    #[must_use]
    pub fn new(certifies_reads: bool) -> Self {
        Self { certifies_reads, ..Self::default() }
    }

    /// A key was set (`Some`) or deleted (`None`).
    pub fn wrote(&mut self, key: &[u8], value: Value) {
        let bytes = size_of(key, &value);
        self.written_bytes += bytes;
        self.scratch_bytes += bytes + SCRATCH_WRITE_BYTES;
        let before = self.writes.insert(key.to_vec(), value);
        self.written_bytes -= before.as_ref().map_or(0, |before| size_of(key, before));
        if let Some(scope) = self.scopes.last_mut()
            && !scope.before.contains_key(key)
        {
            scope.before.insert(key.to_vec(), before);
        }
    }

    /// A key was read under lock. Stays armed over a rollback, as SurrealDB's own engines leave it.
    pub fn locked(&mut self, key: &[u8]) {
        self.locked.push(key.to_vec());
        self.note(key.len() + READ_BYTES);
    }

    /// A key was read.
    pub fn read(&mut self, key: &[u8]) {
        if self.certifies_reads && is_observable(key) && !self.writes.contains_key(key) {
            self.reads.push(key.to_vec());
            self.note(key.len() + READ_BYTES);
        }
    }

    /// The range from `start` up to, not including, `end` was read.
    pub fn read_range(&mut self, start: &[u8], end: &[u8]) {
        if self.certifies_reads && start < end && is_observable(start) {
            self.ranges.push((start.to_vec(), end.to_vec()));
            self.note(start.len() + end.len() + 2 * READ_BYTES);
        }
    }

    /// Counts what was read. When it has doubled, what says nothing new is dropped: a scan reads page after page, and a loop the
    /// same keys again.
    fn note(&mut self, bytes: usize) {
        self.noted_bytes += bytes;
        if self.noted_bytes > COMPACTED_MIN_BYTES.max(2 * self.read_bytes) {
            self.compact_reads();
        }
    }

    fn compact_reads(&mut self) {
        self.locked.sort_unstable();
        self.locked.dedup();
        self.reads.sort_unstable();
        self.reads.dedup();
        self.ranges = merge(std::mem::take(&mut self.ranges));
        // A point inside a range that is certified anyway says nothing more.
        self.reads.retain(|key| !covers(&self.ranges, key));
        let keys = self.locked.iter().chain(&self.reads).map(|key| key.len() + READ_BYTES);
        let ranges = self.ranges.iter().map(|(start, end)| start.len() + end.len() + 2 * READ_BYTES);
        self.read_bytes = keys.chain(ranges).sum();
        self.noted_bytes = self.read_bytes;
    }

    /// How large the transaction is so far.
    pub(crate) fn size(&self) -> Size {
        Size {
            writes: self.writes.len(),
            written_bytes: self.written_bytes,
            read_bytes: self.read_bytes,
            scratch_bytes: self.scratch_bytes,
        }
    }

    /// Whether something in this range was written or deleted, and not rolled back.
    #[must_use]
    pub(crate) fn wrote_within(&self, (start, end): &Range) -> bool {
        self.writes
            .range::<[u8], _>((Bound::Included(start.as_slice()), Bound::Excluded(end.as_slice())))
            .next()
            .is_some()
    }

    /// Names ranges in which nothing may have changed since the snapshot, in every group.
    pub(crate) fn guard(&mut self, ranges: impl IntoIterator<Item = Range>) {
        self.ranges.extend(ranges);
    }

    /// Holds records and the definitions of their table together where plain reads are not certified.
    ///
    /// Who writes a record depends on how the table is defined: which indexes, views, events and references follow from it.
    /// And who defines a view or removes a table depends on all of its records. Under write skew between the two, a record
    /// would be missing in an index for good, or come back to life with the next table of that name; no snapshot shows that.
    fn hold_definitions(&mut self) {
        let mut held: &[u8] = &[];
        for (key, value) in &self.writes {
            let Some(found) = under_table(key) else {
                self.ranges.extend(under_definition(key).filter(|_| value.is_none()));
                continue;
            };
            match found.rest {
                // Keys are in order, so those of a table come one after the other.
                [b'*' | b'~' | b'&', ..] if found.table != held => {
                    self.locked.push(found.definition());
                    held = found.table;
                }
                [b'!', b'f', b't', ..] if value.is_some() => self.ranges.push(found.records()),
                _ => {}
            }
        }
    }

    /// Opens a savepoint.
    pub fn open_scope(&mut self) {
        self.scopes.push(Scope::default());
    }

    /// Closes the innermost savepoint and keeps its writes; an enclosing one can still undo them.
    pub fn release_scope(&mut self) {
        if let Some(released) = self.scopes.pop()
            && let Some(enclosing) = self.scopes.last_mut()
        {
            for (key, before) in released.before {
                // What the enclosing scope saw first is older and stands.
                enclosing.before.entry(key).or_insert(before);
            }
        }
    }

    /// Closes the innermost savepoint and undoes what was written since it was opened.
    pub fn roll_back_scope(&mut self) {
        let Some(scope) = self.scopes.pop() else { return };
        for (key, before) in scope.before {
            let length = key.len();
            self.written_bytes += before.as_ref().map_or(0, |before| size_of(&key, before));
            let undone = match before {
                Some(value) => self.writes.insert(key, value),
                None => self.writes.remove(&key),
            };
            self.written_bytes -= undone.map_or(0, |undone| length + undone.map_or(0, |value| value.len()));
        }
    }

    /// Whether nothing was written and nothing locked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.locked.is_empty()
    }

    /// Ends the record.
    #[must_use]
    pub fn into_write_set(mut self, snapshot: u64, request: Option<Arc<Request>>) -> WriteSet {
        if !self.certifies_reads {
            self.hold_definitions();
        }
        self.compact_reads();
        self.locked.retain(|key| !self.writes.contains_key(key));
        self.reads.retain(|key| !self.writes.contains_key(key) && self.locked.binary_search(key).is_err());
        let stamped = self.writes.keys().any(|key| is_changefeed_placeholder(key));
        WriteSet {
            snapshot,
            writes: self.writes.into_iter().collect(),
            locked: self.locked,
            reads: self.reads,
            ranges: self.ranges,
            certified_reads: self.certifies_reads,
            stamped,
            request,
        }
    }
}

fn size_of(key: &[u8], value: &Value) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

/// Sorts ranges and joins those that touch: a scan reads page after page, and one range certifies faster than many.
fn merge(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1 => {
                if end > last.1 {
                    last.1 = end;
                }
            }
            _ => merged.push((start, end)),
        }
    }
    merged
}

fn covers(ranges: &[Range], key: &[u8]) -> bool {
    let behind = ranges.partition_point(|(start, _)| start.as_slice() <= key);
    behind.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, end)| key < end.as_slice())
}

#[cfg(test)]
mod tests;
