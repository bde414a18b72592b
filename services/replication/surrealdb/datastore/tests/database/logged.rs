//! A copy with a log that takes everything at once: what the storage engine does to statements, without certification.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_datastore::{Database, OpenOptions};
use holdfast_storage::{
    BoxFuture, CommitFailure, CommitLog, Committed, Copy, CopyOptions, Engine, KeyWrite, StorageKind,
    TransactionLimits, WriteSet, reserved,
};

struct Log {
    copy: Copy,
    position: AtomicU64,
    /// One commit at a time, in the order of the positions.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl CommitLog for Log {
    fn commit(&self, write_set: WriteSet) -> BoxFuture<'static, Result<Committed, CommitFailure>> {
        let position = self.position.fetch_add(1, Ordering::AcqRel) + 1;
        let (copy, turn) = (self.copy.clone(), Arc::clone(&self.turn));
        Box::pin(async move {
            let _turn = turn.lock().await;
            let applied = [position.to_be_bytes(), position.to_be_bytes()].concat();
            let mut writes: Vec<KeyWrite<'_>> =
                write_set.writes.iter().map(|(key, value)| (Cow::from(key), value.as_deref())).collect();
            writes.push((Cow::from(reserved::APPLIED.as_slice()), Some(&applied)));
            copy.apply(writes).await.expect("the copy takes it");
            Ok(Committed { position, index: 0 })
        })
    }

    fn certifies_reads(&self) -> bool {
        true
    }
}

/// A database on a copy of its own.
pub async fn open_logged() -> Arc<Database> {
    let options =
        CopyOptions { kind: StorageKind::Memory, path: "unused".into(), memory_bytes: 0, write_buffer_min_bytes: 0 };
    let copy = Copy::open(&options).await.expect("the copy opens");
    let log = Log { copy: copy.clone(), position: AtomicU64::new(0), turn: Arc::default() };
    let engine = Box::new(Engine::new(copy, Arc::new(log), TransactionLimits::NONE));
    let database = Database::open(OpenOptions { engine, node_id: [1; 16] }).await.expect("the database opens");
    database.initialise("main".to_owned(), "main".to_owned()).await.expect("the default database is defined");
    database
}
