//! What SurrealDB is given as its storage: transactions of a [`Copy`], with the log behind their commit.

use std::sync::Arc;

use surrealdb_kvs::api::{BoxFut, Transactable};
use surrealdb_kvs::err::{Error, Result};
use surrealdb_kvs::{Key, Metrics, TransactionBuilder, TransactionType};

use crate::copy::{Copy, applied_position, applied_stamp};
use crate::definitions::Definitions;
use crate::keyspace::reserved;
use crate::limits::TransactionLimits;
use crate::log::{CommitFailure, CommitLog, REFUSED_BY_THE_LOG};
use crate::reader::Reader;
use crate::request::{self, HeldLock, Request};
use crate::writer::Writer;

/// The storage engine: a copy and its log.
pub struct Engine {
    copy: Copy,
    log: Arc<dyn CommitLog>,
    limits: TransactionLimits,
    definitions: Arc<Definitions>,
}

impl Engine {
    /// An engine over `copy` that commits through `log`. The copy must have caught up already: SurrealDB reads and
    /// writes as soon as it has the engine. No transaction may be larger than `limits`.
    #[must_use]
    pub fn new(copy: Copy, log: Arc<dyn CommitLog>, limits: TransactionLimits) -> Self {
        Self { copy, log, limits, definitions: Arc::default() }
    }

    async fn transaction(&self, kind: TransactionType) -> Result<Box<dyn Transactable>> {
        let inner = self.copy.begin(kind).await?;
        // Read in the transaction itself: only this says for certain what its snapshot shows.
        let state = inner.get(Key::from(reserved::APPLIED.as_slice()), None).await?;
        let position = applied_position(state.as_deref());
        let stamp = applied_stamp(state.as_deref());
        let request = request::current();
        if let Some(request) = &request {
            request.set_snapshot_position(position);
            if let Some(lost) = lost_lock(inner.as_ref(), request).await? {
                let failure = CommitFailure::LockLost { name: lost.name.clone(), token: lost.token };
                let error = Error::Transaction(format!("{REFUSED_BY_THE_LOG}{failure}"));
                request.set_failure(failure);
                inner.cancel().await?;
                return Err(error);
            }
        }
        Ok(match kind {
            TransactionType::Read => Box::new(Reader { inner, stamp }),
            TransactionType::Write => {
                let (log, definitions) = (Arc::clone(&self.log), Arc::clone(&self.definitions));
                Box::new(Writer::new(inner, log, definitions, self.limits, position, stamp, request))
            }
        })
    }
}

/// The first lock of the request that is not held in the snapshot. Those that are stay so up to the transaction's place in the
/// log, or it is refused: the writer records them as read under lock.
async fn lost_lock<'a>(inner: &dyn Transactable, request: &'a Request) -> Result<Option<&'a HeldLock>> {
    for lock in request.locks() {
        let value = inner.get(Key::from(lock.key()), None).await?;
        if !lock.is_held(value.as_deref()) {
            return Ok(Some(lock));
        }
    }
    Ok(None)
}

impl TransactionBuilder for Engine {
    fn name(&self) -> &'static str {
        "holdfast"
    }

    fn new_transaction(&self, kind: TransactionType) -> BoxFut<'_, Result<(Box<dyn Transactable>, bool)>> {
        Box::pin(async move { Ok((self.transaction(kind).await?, true)) })
    }

    // The service closes the copy itself, after the applier has stopped: SurrealDB's own shutdown still commits.
    fn shutdown(&self) -> BoxFut<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn register_metrics(&self) -> Option<Metrics> {
        self.copy.engine().register_metrics()
    }

    fn collect_u64_metric(&self, metric: &str) -> Option<u64> {
        self.copy.engine().collect_u64_metric(metric)
    }
}
