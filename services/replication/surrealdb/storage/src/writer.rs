//! A write transaction: works on a scratch of the inner engine, records what it does, commits through the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use surrealdb_kvs::api::{
    BoxFut, GetMultiResult, KeysResult, ScanCursorKeys, ScanCursorVals, ScanResult, Transactable,
};
use surrealdb_kvs::err::{Error, Result};
use surrealdb_kvs::timestamp::{BoxTimeStamp, BoxTimeStampImpl};
use surrealdb_kvs::{Direction, Key, KeyRange, Val};

use crate::cursor::{Extent, RecordingKeys, RecordingVals};
use crate::definitions::{DefinedIndex, Definitions};
use crate::keyspace::{Range, under_table};
use crate::limits::TransactionLimits;
use crate::log::{CommitFailure, CommitLog, REFUSED_BY_THE_LOG};
use crate::recorder::Recorder;
use crate::request::Request;
use crate::stamp::{LogStamp, LogStamps, PendingStamp};

/// One write transaction. Its methods are called side by side, so what it records is behind a lock that is never held
/// over an await.
pub(crate) struct Writer {
    inner: Box<dyn Transactable>,
    log: Arc<dyn CommitLog>,
    recorder: Mutex<Recorder>,
    limits: TransactionLimits,
    /// Why it may not be committed any more, once it has become too large.
    excess: OnceLock<CommitFailure>,
    definitions: Arc<Definitions>,
    /// The indexes that this transaction defines.
    defined: Mutex<Vec<DefinedIndex>>,
    records_reads: bool,
    done: AtomicBool,
    snapshot: u64,
    stamp: u64,
    request: Option<Arc<Request>>,
}

impl Writer {
    pub(crate) fn new(
        inner: Box<dyn Transactable>,
        log: Arc<dyn CommitLog>,
        definitions: Arc<Definitions>,
        limits: TransactionLimits,
        snapshot: u64,
        stamp: u64,
        request: Option<Arc<Request>>,
    ) -> Self {
        let records_reads = log.certifies_reads();
        let mut recorder = Recorder::new(records_reads);
        for lock in request.iter().flat_map(|request| request.locks()) {
            recorder.locked(&lock.key());
        }
        Self {
            inner,
            log,
            recorder: Mutex::new(recorder),
            definitions,
            limits,
            excess: OnceLock::new(),
            defined: Mutex::default(),
            records_reads,
            done: AtomicBool::new(false),
            snapshot,
            stamp,
            request,
        }
    }

    fn open(&self) -> Result<()> {
        match self.excess.get() {
            Some(_) => Err(Error::TransactionTooLarge),
            None if self.done.load(Ordering::Acquire) => Err(Error::TransactionFinished),
            None => Ok(()),
        }
    }

    /// Stops a transaction that has become too large, for good: as early as that is known, so that it fails for this reason and
    /// takes no more memory.
    fn check(&self, recorder: &Recorder) -> Result<()> {
        let Some(failure) = self.limits.excess(recorder.size()) else { return Ok(()) };
        if let Some(request) = &self.request {
            request.set_failure(failure.clone());
        }
        let _ = self.excess.set(failure);
        Err(Error::TransactionTooLarge)
    }

    fn wrote(&self, key: &[u8], value: Option<Val>) -> Result<()> {
        let mut recorder = self.recorder.lock();
        recorder.wrote(key, value);
        self.check(&recorder)
    }

    fn read(&self, key: &[u8]) -> Result<()> {
        if !self.records_reads {
            return self.open();
        }
        let mut recorder = self.recorder.lock();
        recorder.read(key);
        self.check(&recorder)
    }

    fn read_page(
        &self,
        range: &KeyRange<'_>,
        direction: Direction,
        limit: u32,
        found: usize,
        last: Option<&[u8]>,
    ) -> Result<()> {
        if !self.records_reads {
            return Ok(());
        }
        Extent::new(&self.recorder, range, direction).read_up_to(last, found < limit as usize);
        self.check(&self.recorder.lock())
    }

    /// SurrealDB builds a new index in transactions of its own, from what was committed before. What this transaction wrote
    /// into the table already would be missing in it, and what it removed would still be there.
    async fn admit_index(&self, key: &Key<'_>, index: Vec<u8>, records: Range) -> Result<()> {
        // One that is there already is only altered: nothing is built.
        if self.inner.exists(key.as_borrowed(), None).await? {
            return Ok(());
        }
        if self.recorder.lock().wrote_within(&records) {
            if let Some(request) = &self.request {
                request.set_index_behind_writes();
            }
            return Err(Error::Transaction("an index would miss what was written before it was defined".to_owned()));
        }
        let defined = self.definitions.define(index, records);
        self.defined.lock().push(defined);
        Ok(())
    }

    async fn commit_through_log(&self) -> Result<()> {
        if self.done.swap(true, Ordering::AcqRel) {
            return Err(Error::TransactionFinished);
        }
        // Held until the outcome is known: who commits does so in a task that nobody drops before that.
        let defined = std::mem::take(&mut *self.defined.lock());
        let mut recorder = {
            let mut recorder = self.recorder.lock();
            // A cursor notes what it read, and cannot refuse it.
            let _ = self.check(&recorder);
            std::mem::take(&mut *recorder)
        };
        // The scratch has served. Dropped before the wait, it pins no old version while the log does its work.
        self.inner.cancel().await?;
        if let Some(failure) = self.excess.get() {
            return Err(engine_error(failure.clone()));
        }
        recorder.guard(defined.iter().filter_map(DefinedIndex::commit));
        let write_set = recorder.into_write_set(self.snapshot, self.request.clone());
        if write_set.is_empty() {
            return Ok(());
        }
        self.definitions.hold_builders(&write_set).await;
        match self.log.commit(write_set).await {
            Ok(committed) => {
                if let Some(request) = &self.request {
                    request.set_committed(committed);
                }
                Ok(())
            }
            Err(failure) => {
                if let Some(request) = &self.request {
                    request.set_failure(failure.clone());
                }
                Err(engine_error(failure))
            }
        }
    }
}

/// What SurrealDB is told. Only a conflict may be retried by it, and an unknown outcome must never be called a failure.
fn engine_error(failure: CommitFailure) -> Error {
    match failure {
        CommitFailure::Conflict { .. } | CommitFailure::Contended | CommitFailure::TooOld => {
            Error::TransactionConflict(failure.to_string())
        }
        CommitFailure::TooLarge { .. } => Error::TransactionTooLarge,
        CommitFailure::ShuttingDown => Error::Shutdown,
        CommitFailure::OutcomeUnknown(cause) => Error::CommitOutcomeUnknown(cause),
        CommitFailure::Duplicate { .. }
        | CommitFailure::LockLost { .. }
        | CommitFailure::NotPrimary
        | CommitFailure::LogRefused { .. }
        | CommitFailure::Unavailable(_) => Error::Transaction(format!("{REFUSED_BY_THE_LOG}{failure}")),
    }
}

impl Transactable for Writer {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn closed(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn writeable(&self) -> bool {
        true
    }

    fn cancel<'a>(&'a self) -> BoxFut<'a, Result<()>> {
        Box::pin(async move {
            if self.done.swap(true, Ordering::AcqRel) {
                return Err(Error::TransactionFinished);
            }
            self.defined.lock().clear();
            self.inner.cancel().await
        })
    }

    fn commit<'a>(&'a self) -> BoxFut<'a, Result<()>> {
        Box::pin(self.commit_through_log())
    }

    fn exists<'a>(&'a self, key: Key<'a>, version: Option<u64>) -> BoxFut<'a, Result<bool>> {
        if let Err(refused) = self.read(&key) {
            return Box::pin(async { Err(refused) });
        }
        self.inner.exists(key, version)
    }

    fn get<'a>(&'a self, key: Key<'a>, version: Option<u64>) -> BoxFut<'a, Result<Option<Val>>> {
        if let Err(refused) = self.read(&key) {
            return Box::pin(async { Err(refused) });
        }
        self.inner.get(key, version)
    }

    // The inner engine's own locked read would only arm a check that never runs; the certifier's is what counts.
    fn getu<'a>(&'a self, key: Key<'a>) -> BoxFut<'a, Result<Option<Val>>> {
        let checked = {
            let mut recorder = self.recorder.lock();
            recorder.locked(&key);
            self.check(&recorder)
        };
        match checked {
            Ok(()) => self.inner.get(key, None),
            Err(refused) => Box::pin(async { Err(refused) }),
        }
    }

    fn shared_locked_reads(&self) -> bool {
        true
    }

    fn set<'a>(&'a self, key: Key<'a>, val: Val) -> BoxFut<'a, Result<()>> {
        Box::pin(async move {
            self.open()?;
            if let Some(table) = under_table(&key)
                && let Some(index) = table.named_index()
            {
                // Boxed, so that all other writes do not carry its state.
                Box::pin(self.admit_index(&key, index, table.records())).await?;
            }
            self.inner.set(key.as_borrowed(), val.clone()).await?;
            self.wrote(&key, Some(val))
        })
    }

    fn put<'a>(&'a self, key: Key<'a>, val: Val) -> BoxFut<'a, Result<()>> {
        Box::pin(async move {
            self.open()?;
            // Refused or not, the caller learns whether the key was there.
            self.read(&key)?;
            self.inner.put(key.as_borrowed(), val.clone()).await?;
            self.wrote(&key, Some(val))
        })
    }

    fn putc<'a>(&'a self, key: Key<'a>, val: Val, chk: Option<Val>) -> BoxFut<'a, Result<()>> {
        Box::pin(async move {
            self.open()?;
            self.read(&key)?;
            self.inner.putc(key.as_borrowed(), val.clone(), chk).await?;
            self.wrote(&key, Some(val))
        })
    }

    fn del<'a>(&'a self, key: Key<'a>) -> BoxFut<'a, Result<()>> {
        Box::pin(async move {
            self.open()?;
            self.inner.del(key.as_borrowed()).await?;
            self.wrote(&key, None)
        })
    }

    fn delc<'a>(&'a self, key: Key<'a>, chk: Option<&'a [u8]>) -> BoxFut<'a, Result<()>> {
        Box::pin(async move {
            self.open()?;
            self.read(&key)?;
            self.inner.delc(key.as_borrowed(), chk).await?;
            self.wrote(&key, None)
        })
    }

    fn keys<'a>(
        &'a self,
        rng: KeyRange<'a>,
        limit: u32,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<KeysResult>> {
        Box::pin(async move {
            let found = self.inner.keys(rng.as_borrowed(), limit, skip, version).await?;
            self.read_page(&rng, Direction::Forward, limit, found.keys.len(), found.keys.last().map(Vec::as_slice))?;
            Ok(found)
        })
    }

    fn keysr<'a>(
        &'a self,
        rng: KeyRange<'a>,
        limit: u32,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<KeysResult>> {
        Box::pin(async move {
            let found = self.inner.keysr(rng.as_borrowed(), limit, skip, version).await?;
            self.read_page(&rng, Direction::Backward, limit, found.keys.len(), found.keys.last().map(Vec::as_slice))?;
            Ok(found)
        })
    }

    fn scan<'a>(
        &'a self,
        rng: KeyRange<'a>,
        limit: u32,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<ScanResult>> {
        Box::pin(async move {
            let found = self.inner.scan(rng.as_borrowed(), limit, skip, version).await?;
            let last = found.values.last().map(|(key, _)| key.as_slice());
            self.read_page(&rng, Direction::Forward, limit, found.values.len(), last)?;
            Ok(found)
        })
    }

    fn scanr<'a>(
        &'a self,
        rng: KeyRange<'a>,
        limit: u32,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<ScanResult>> {
        Box::pin(async move {
            let found = self.inner.scanr(rng.as_borrowed(), limit, skip, version).await?;
            let last = found.values.last().map(|(key, _)| key.as_slice());
            self.read_page(&rng, Direction::Backward, limit, found.values.len(), last)?;
            Ok(found)
        })
    }

    fn open_keys_cursor<'a>(
        &'a self,
        rng: KeyRange<'a>,
        dir: Direction,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<Box<dyn ScanCursorKeys + 'a>>> {
        if !self.records_reads {
            return self.inner.open_keys_cursor(rng, dir, skip, version);
        }
        Box::pin(async move {
            let extent = Extent::new(&self.recorder, &rng, dir);
            let inner = self.inner.open_keys_cursor(rng, dir, skip, version).await?;
            Ok(Box::new(RecordingKeys { inner, extent }) as Box<dyn ScanCursorKeys + 'a>)
        })
    }

    fn open_vals_cursor<'a>(
        &'a self,
        rng: KeyRange<'a>,
        dir: Direction,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<Box<dyn ScanCursorVals + 'a>>> {
        if !self.records_reads {
            return self.inner.open_vals_cursor(rng, dir, skip, version);
        }
        Box::pin(async move {
            let extent = Extent::new(&self.recorder, &rng, dir);
            let inner = self.inner.open_vals_cursor(rng, dir, skip, version).await?;
            Ok(Box::new(RecordingVals { inner, extent }) as Box<dyn ScanCursorVals + 'a>)
        })
    }

    fn getm<'a>(&'a self, keys: &'a [Key<'a>], version: Option<u64>) -> BoxFut<'a, Result<GetMultiResult>> {
        if self.records_reads {
            let mut recorder = self.recorder.lock();
            keys.iter().for_each(|key| recorder.read(key));
            if let Err(refused) = self.check(&recorder) {
                return Box::pin(async { Err(refused) });
            }
        }
        self.inner.getm(keys, version)
    }

    fn count<'a>(&'a self, rng: KeyRange<'a>, version: Option<u64>) -> BoxFut<'a, Result<usize>> {
        if self.records_reads {
            let mut recorder = self.recorder.lock();
            recorder.read_range(&rng.start, &rng.end);
            if let Err(refused) = self.check(&recorder) {
                return Box::pin(async { Err(refused) });
            }
        }
        self.inner.count(rng, version)
    }

    fn new_save_point(&self) -> BoxFut<'_, Result<()>> {
        Box::pin(async move {
            self.inner.new_save_point().await?;
            self.recorder.lock().open_scope();
            Ok(())
        })
    }

    fn release_last_save_point(&self) -> BoxFut<'_, Result<()>> {
        Box::pin(async move {
            self.inner.release_last_save_point().await?;
            self.recorder.lock().release_scope();
            Ok(())
        })
    }

    fn rollback_to_save_point(&self) -> BoxFut<'_, Result<()>> {
        Box::pin(async move {
            self.inner.rollback_to_save_point().await?;
            self.recorder.lock().roll_back_scope();
            Ok(())
        })
    }

    fn timestamp(&self) -> BoxFut<'_, Result<BoxTimeStamp>> {
        Box::pin(async { Ok(BoxTimeStamp::new(PendingStamp(self.stamp))) })
    }

    fn safe_timestamp(&self) -> BoxFut<'_, Result<BoxTimeStamp>> {
        Box::pin(async { Ok(BoxTimeStamp::new(LogStamp(self.stamp))) })
    }

    fn timestamp_impl(&self) -> BoxTimeStampImpl {
        Box::new(LogStamps)
    }
}
