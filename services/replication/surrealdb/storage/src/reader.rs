//! A read transaction: SurrealDB's own, with our stamps.

use surrealdb_kvs::api::{
    BoxFut, GetMultiResult, KeysResult, ScanCursorKeys, ScanCursorVals, ScanResult, Transactable,
};
use surrealdb_kvs::err::{Error, Result};
use surrealdb_kvs::timestamp::{BoxTimeStamp, BoxTimeStampImpl};
use surrealdb_kvs::{Direction, Key, KeyRange, Val};

use crate::stamp::{LogStamp, LogStamps};

/// Hands every read to the inner transaction as it is, so that a query runs at SurrealDB's own speed.
pub(crate) struct Reader {
    pub inner: Box<dyn Transactable>,
    /// Stamp of the last entry that the snapshot shows.
    pub stamp: u64,
}

fn read_only<'a, T: Send + 'a>() -> BoxFut<'a, Result<T>> {
    Box::pin(async { Err(Error::TransactionReadonly) })
}

impl Transactable for Reader {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn closed(&self) -> bool {
        self.inner.closed()
    }

    fn writeable(&self) -> bool {
        false
    }

    fn cancel<'a>(&'a self) -> BoxFut<'a, Result<()>> {
        self.inner.cancel()
    }

    fn commit<'a>(&'a self) -> BoxFut<'a, Result<()>> {
        self.inner.commit()
    }

    fn exists<'a>(&'a self, key: Key<'a>, version: Option<u64>) -> BoxFut<'a, Result<bool>> {
        self.inner.exists(key, version)
    }

    fn get<'a>(&'a self, key: Key<'a>, version: Option<u64>) -> BoxFut<'a, Result<Option<Val>>> {
        self.inner.get(key, version)
    }

    fn getu<'a>(&'a self, _key: Key<'a>) -> BoxFut<'a, Result<Option<Val>>> {
        read_only()
    }

    fn shared_locked_reads(&self) -> bool {
        true
    }

    fn set<'a>(&'a self, _key: Key<'a>, _val: Val) -> BoxFut<'a, Result<()>> {
        read_only()
    }

    fn put<'a>(&'a self, _key: Key<'a>, _val: Val) -> BoxFut<'a, Result<()>> {
        read_only()
    }

    fn putc<'a>(&'a self, _key: Key<'a>, _val: Val, _chk: Option<Val>) -> BoxFut<'a, Result<()>> {
        read_only()
    }

    fn del<'a>(&'a self, _key: Key<'a>) -> BoxFut<'a, Result<()>> {
        read_only()
    }

    fn delc<'a>(&'a self, _key: Key<'a>, _chk: Option<&'a [u8]>) -> BoxFut<'a, Result<()>> {
        read_only()
    }

    fn keys<'a>(
        &'a self,
        rng: KeyRange<'a>,
        limit: u32,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<KeysResult>> {
        self.inner.keys(rng, limit, skip, version)
    }

    fn keysr<'a>(
        &'a self,
        rng: KeyRange<'a>,
        limit: u32,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<KeysResult>> {
        self.inner.keysr(rng, limit, skip, version)
    }

    fn scan<'a>(
        &'a self,
        rng: KeyRange<'a>,
        limit: u32,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<ScanResult>> {
        self.inner.scan(rng, limit, skip, version)
    }

    fn scanr<'a>(
        &'a self,
        rng: KeyRange<'a>,
        limit: u32,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<ScanResult>> {
        self.inner.scanr(rng, limit, skip, version)
    }

    fn open_keys_cursor<'a>(
        &'a self,
        rng: KeyRange<'a>,
        dir: Direction,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<Box<dyn ScanCursorKeys + 'a>>> {
        self.inner.open_keys_cursor(rng, dir, skip, version)
    }

    fn open_vals_cursor<'a>(
        &'a self,
        rng: KeyRange<'a>,
        dir: Direction,
        skip: u32,
        version: Option<u64>,
    ) -> BoxFut<'a, Result<Box<dyn ScanCursorVals + 'a>>> {
        self.inner.open_vals_cursor(rng, dir, skip, version)
    }

    fn getm<'a>(&'a self, keys: &'a [Key<'a>], version: Option<u64>) -> BoxFut<'a, Result<GetMultiResult>> {
        self.inner.getm(keys, version)
    }

    fn getr<'a>(&'a self, rng: KeyRange<'a>, version: Option<u64>) -> BoxFut<'a, Result<ScanResult>> {
        self.inner.getr(rng, version)
    }

    fn count<'a>(&'a self, rng: KeyRange<'a>, version: Option<u64>) -> BoxFut<'a, Result<usize>> {
        self.inner.count(rng, version)
    }

    fn new_save_point(&self) -> BoxFut<'_, Result<()>> {
        self.inner.new_save_point()
    }

    fn release_last_save_point(&self) -> BoxFut<'_, Result<()>> {
        self.inner.release_last_save_point()
    }

    fn rollback_to_save_point(&self) -> BoxFut<'_, Result<()>> {
        self.inner.rollback_to_save_point()
    }

    fn timestamp(&self) -> BoxFut<'_, Result<BoxTimeStamp>> {
        Box::pin(async { Ok(BoxTimeStamp::new(LogStamp(self.stamp))) })
    }

    fn safe_timestamp(&self) -> BoxFut<'_, Result<BoxTimeStamp>> {
        self.timestamp()
    }

    fn timestamp_impl(&self) -> BoxTimeStampImpl {
        Box::new(LogStamps)
    }
}
