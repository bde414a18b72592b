//! One CSP's copy of the database: the inner engine, written to only in the order of the log.
//!
//! Invariant: the data, the ids, the verdicts and the applied state change in ONE inner commit, so a process killed at
//! any instruction finds its copy at exactly one position. The inner engine does not flush to disk at every commit: the
//! log is what is durable, and a copy that lost its tail replays it.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use surrealdb_kvs::api::Transactable;
use surrealdb_kvs::config::SyncMode;
use surrealdb_kvs::{Key, KeyRange, TransactionBuilder, TransactionType};

use crate::journal;
use crate::keyspace::reserved;
use crate::write_buffer::WriteBuffer;

/// How the copy is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageKind {
    /// On disk, in SurrealKV's log-structured tree.
    SurrealKv,
    /// In memory; after a restart the copy is rebuilt from the log or a snapshot.
    Memory,
}

/// Where and how a copy is kept.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// The kind of storage.
    pub kind: StorageKind,
    /// Folder of the copy; unused in memory.
    pub path: std::path::PathBuf,
    /// Memory that this copy may use for its block cache and write buffer, in bytes. SurrealKV's own default takes half
    /// of the machine, which three copies on one host cannot all do. At least [`least_memory_bytes`].
    pub memory_bytes: u64,
    /// The smallest write buffer: the largest commit has to fit into it whole, as [`crate::arena_bytes`] reckons.
    pub write_buffer_min_bytes: u64,
}

/// The memory that a copy needs at least, for a write buffer of this size.
#[must_use]
pub const fn least_memory_bytes(write_buffer_min_bytes: u64) -> u64 {
    write_buffer_min_bytes + CACHE_MIN_BYTES
}

/// The copy could not be read or written. Stop the CSP: what is on disk is whole, and the log has the rest.
#[derive(Debug, thiserror::Error)]
#[error("{action} the copy failed")]
pub struct CopyError {
    action: &'static str,
    #[source]
    source: surrealdb_kvs::Error,
}

impl CopyError {
    fn folder(cause: io::Error) -> Self {
        Self { action: "opening", source: surrealdb_kvs::Error::Datastore(format!("its folder: {cause}")) }
    }

    fn during(action: &'static str) -> impl FnOnce(surrealdb_kvs::Error) -> Self {
        move |source| Self { action, source }
    }
}

/// The smallest block cache that SurrealKV does its work with.
const CACHE_MIN_BYTES: u64 = 16 << 20;

/// Where SurrealDB keeps its storage version: the one that it is about to settle, and the one that is settled.
const VERSIONS: [&[u8]; 2] = [b"!bv", b"!v"];
/// All that SurrealDB stores besides.
const ROOT: (&[u8], &[u8]) = (b"/", b"0");

/// Keys read at once by a scan of the whole copy.
const SCAN_PAGE: u32 = 1000;

/// A key and what it is set to; `None` deletes it.
pub type KeyWrite<'a> = (Cow<'a, [u8]>, Option<&'a [u8]>);

/// The inner engine of one CSP.
#[derive(Clone)]
pub struct Copy {
    engine: Arc<dyn TransactionBuilder>,
    /// None in memory.
    write_buffer: Option<Arc<WriteBuffer>>,
}

impl Copy {
    /// Opens the copy, creating it when there is none.
    ///
    /// # Errors
    /// When the folder cannot be used, for example because another process has it open.
    pub async fn open(options: &CopyOptions) -> Result<Self, CopyError> {
        let opening = CopyError::during("opening");
        let engine: Arc<dyn TransactionBuilder> = match options.kind {
            StorageKind::Memory => Arc::new(
                surrealdb_kvs_mem::Datastore::new(surrealdb_kvs_mem::MemoryConfig::default()).await.map_err(opening)?,
            ),
            StorageKind::SurrealKv => Arc::new(Self::on_disk(options).await?),
        };
        let write_buffer = match options.kind {
            StorageKind::Memory => None,
            StorageKind::SurrealKv => Some(Arc::new(WriteBuffer::of(&options.path).map_err(CopyError::folder)?)),
        };
        Ok(Self { engine, write_buffer })
    }

    /// Opens a copy on disk, so that its journal holds all that is only in memory.
    async fn on_disk(options: &CopyOptions) -> Result<surrealdb_kvs_surrealkv::Datastore, CopyError> {
        let (path, config) = (path_text(&options.path), surrealkv_config(options));
        let open = async || {
            let opened = surrealdb_kvs_surrealkv::Datastore::new(&path, config.clone()).await;
            opened.map_err(CopyError::during("opening"))
        };
        std::fs::create_dir_all(&options.path).map_err(CopyError::folder)?;
        let begins = journal::prepare(&options.path).map_err(CopyError::folder)?;
        let engine = open().await?;
        if begins.is_none() || journal::begins(&options.path).map_err(CopyError::folder)? == begins {
            return Ok(engine);
        }
        // It stored the beginning of its journal while it read it. What it read last may stand in a file that counts as stored then
        // (`journal`); closed, it stores that as well.
        engine.shutdown().await.map_err(CopyError::during("opening"))?;
        drop(engine);
        open().await
    }

    pub(crate) async fn begin(&self, kind: TransactionType) -> Result<Box<dyn Transactable>, surrealdb_kvs::Error> {
        Ok(self.engine.new_transaction(kind).await?.0)
    }

    pub(crate) fn engine(&self) -> &dyn TransactionBuilder {
        self.engine.as_ref()
    }

    /// Writes everything in one inner commit: `Some` sets a key, `None` deletes it. Only one at a time may be under way.
    ///
    /// # Errors
    /// When the engine refuses; nothing of it is applied then.
    pub async fn apply(&self, writes: Vec<KeyWrite<'_>>) -> Result<(), CopyError> {
        self.commit(&writes).await?;
        if let Some(buffer) = self.write_buffer.as_ref().filter(|buffer| buffer.was_turned_over()) {
            // A kill would lose what turned the buffer over, and nothing behind it.
            self.commit(&writes).await?;
            // The repetition may have done so as well, which is no reason for another one.
            buffer.was_turned_over();
        }
        Ok(())
    }

    async fn commit(&self, writes: &[KeyWrite<'_>]) -> Result<(), CopyError> {
        let transaction =
            self.begin(TransactionType::Write).await.map_err(CopyError::during("opening a transaction on"))?;
        for (key, value) in writes {
            let key = Key::from(key.as_ref());
            let written = match value {
                Some(value) => transaction.set(key, value.to_vec()).await,
                None => transaction.del(key).await,
            };
            written.map_err(CopyError::during("writing to"))?;
        }
        transaction.commit().await.map_err(CopyError::during("committing to"))
    }

    /// A consistent view of the copy as it is now.
    ///
    /// # Errors
    /// When the engine cannot open a transaction.
    pub async fn snapshot(&self) -> Result<Snapshot, CopyError> {
        let transaction =
            self.begin(TransactionType::Read).await.map_err(CopyError::during("opening a transaction on"))?;
        Ok(Snapshot { transaction })
    }

    /// Whether there is data of SurrealDB's, and not what SurrealDB writes before all else: its storage version. Then a part of the
    /// copy is missing.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub async fn lacks_version(&self) -> Result<bool, CopyError> {
        let snapshot = self.snapshot().await?;
        for version in VERSIONS {
            if snapshot.get(version).await?.is_some() {
                return Ok(false);
            }
        }
        let has_data = !snapshot.page(ROOT.0, ROOT.1).await?.is_empty();
        snapshot.close().await;
        Ok(has_data)
    }

    /// Closes the engine and flushes what it holds.
    ///
    /// # Errors
    /// When the engine fails to; the copy replays from the log at its next start.
    pub async fn close(&self) -> Result<(), CopyError> {
        self.engine.shutdown().await.map_err(CopyError::during("closing"))
    }
}

/// A consistent view of a copy, for the service's own reads.
pub struct Snapshot {
    transaction: Box<dyn Transactable>,
}

impl Snapshot {
    /// The value under `key`.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, CopyError> {
        self.transaction.get(Key::from(key), None).await.map_err(CopyError::during("reading"))
    }

    /// Up to one page of keys and values from `start` (inclusive) to `end` (exclusive). An empty page ends the range;
    /// continue behind the last key, that is with a zero byte added to it.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub async fn page(&self, start: &[u8], end: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, CopyError> {
        let range = KeyRange { start: Key::from(start), end: Key::from(end) };
        let found = self.transaction.scan(range, SCAN_PAGE, 0, None).await.map_err(CopyError::during("scanning"))?;
        Ok(found.values)
    }

    /// The value of the applied state, and the position in its first 8 bytes; 0 in an empty copy.
    ///
    /// # Errors
    /// When the engine cannot read.
    pub async fn applied(&self) -> Result<(u64, Option<Vec<u8>>), CopyError> {
        let state = self.get(&reserved::APPLIED).await?;
        Ok((applied_position(state.as_deref()), state))
    }

    /// Ends the view. Dropping it does the same, later.
    pub async fn close(self) {
        // Nothing was written; a failure to cancel leaves nothing behind.
        let _ = self.transaction.cancel().await;
    }
}

/// The position in a stored applied state.
pub(crate) fn applied_position(state: Option<&[u8]>) -> u64 {
    leading_u64(state, 0)
}

/// The changefeed stamp in a stored applied state.
pub(crate) fn applied_stamp(state: Option<&[u8]>) -> u64 {
    leading_u64(state, 8)
}

fn leading_u64(state: Option<&[u8]>, at: usize) -> u64 {
    state.and_then(|state| state.get(at..at + 8)).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn surrealkv_config(options: &CopyOptions) -> surrealdb_kvs_surrealkv::SurrealKvConfig {
    let write_buffer = (options.memory_bytes / 2).max(options.write_buffer_min_bytes);
    surrealdb_kvs_surrealkv::SurrealKvConfig {
        sync_mode: SyncMode::Never,
        block_cache_capacity: options.memory_bytes.saturating_sub(write_buffer).max(CACHE_MIN_BYTES),
        max_memtable_size: usize::try_from(write_buffer).unwrap_or(usize::MAX),
        ..Default::default()
    }
}
