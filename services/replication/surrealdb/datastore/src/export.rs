//! A database as SurrealQL text, read at one position.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_storage::request::{self, Request};
use surrealdb_core::channel::{Receiver, bounded};
use surrealdb_core::dbs::Session;
use surrealdb_core::kvs::Datastore;
use surrealdb_rpc::export::Config;
use tokio::task::JoinHandle;

use crate::error::StatementError;

/// Chunks that may wait for their reader; the export pauses when there are more.
const CHUNKS_WAITING: usize = 8;

/// The text of an export, chunk by chunk. Dropping it ends the export.
pub struct Export {
    chunks: Receiver<Vec<u8>>,
    job: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Export {
    /// The next chunk; `None` at the end. An error is the last item: what came before it is not the whole database.
    pub async fn next(&mut self) -> Option<Result<Bytes, StatementError>> {
        if let Ok(chunk) = self.chunks.recv().await {
            return Some(Ok(Bytes::from(chunk)));
        }
        match self.job.take()?.await {
            Ok(Ok(())) => None,
            Ok(Err(cause)) => Some(Err(StatementError::Failed(format!("the export broke off: {cause:#}")))),
            Err(cause) => Some(Err(StatementError::Failed(format!("the export broke off: {cause}")))),
        }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if let Some(job) = &self.job {
            job.abort();
        }
    }
}

pub(crate) async fn start(
    datastore: Arc<Datastore>,
    ns: String,
    db: String,
    request: Arc<Request>,
) -> Result<Export, StatementError> {
    let session = Session::owner().with_ns(&ns).with_db(&db);
    let (sender, chunks) = bounded(CHUNKS_WAITING);
    // The read transaction is opened here, and not by the job: its position is the request's.
    let export = request::scope(request, datastore.export_with_config(&session, sender, Config::default())).await;
    let export = export.map_err(|cause| StatementError::Failed(format!("{cause:#}")))?;
    Ok(Export { chunks, job: Some(tokio::spawn(export)) })
}
