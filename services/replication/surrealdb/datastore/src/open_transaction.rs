//! A transaction that stays open between requests: statements come one message after the other, and at last its commit.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_storage::BoxFuture;
use holdfast_storage::request::Request;
use serde_json::Map;
use surrealdb_core::dbs::Session;
use surrealdb_core::kvs::Datastore;
use surrealdb_datastore::Transaction;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checks::{check_update, parse};
use crate::convert::{self, Results};
use crate::effort::Effort;
use crate::error::StatementError;
use crate::statements::{self, begin_write, json_of, refused_index};

/// An open write transaction. Dropped without a commit, it is aborted: nothing of it happened.
pub struct OpenTransaction {
    datastore: Arc<Datastore>,
    session: Session,
    request: Arc<Request>,
    transaction: Option<Arc<Transaction>>,
    spent: CancellationToken,
}

pub(crate) async fn begin(
    datastore: Arc<Datastore>,
    ns: &str,
    db: &str,
    request: Arc<Request>,
    spent: CancellationToken,
) -> Result<OpenTransaction, StatementError> {
    let session = Session::owner().with_ns(ns).with_db(db);
    let transaction = begin_write(&datastore, Some(&request)).await?;
    Ok(OpenTransaction { datastore, session, request, transaction: Some(transaction), spent })
}

impl OpenTransaction {
    /// The request that it belongs to: its id, its snapshot, and what became of it.
    #[must_use]
    pub fn request(&self) -> &Arc<Request> {
        &self.request
    }

    /// Carries out statements. After a failure the transaction has to be aborted: what the statements before the failed one
    /// did cannot be told from what was meant. Results of more bytes than these are left out, see [`crate::dropped_bytes`].
    ///
    /// # Errors
    /// See [`StatementError`].
    pub fn execute(
        &self,
        sql: String,
        vars: Map<String, serde_json::Value>,
        deadline: Instant,
        results_bytes_max: usize,
    ) -> BoxFuture<'_, Result<Bytes, StatementError>> {
        Box::pin(async move {
            let ast = parse(&self.datastore, &sql)?;
            check_update(&ast, &sql)?;
            let transaction = Arc::clone(self.transaction.as_ref().ok_or_else(ended)?);
            let (datastore, session) = (Arc::clone(&self.datastore), self.session.clone());
            let request = Arc::clone(&self.request);
            let effort = Effort::new();
            let own = effort.clone();
            let work = async move {
                let statements = async {
                    let vars = convert::variables(vars);
                    let cancel = own.cancel();
                    let ran = statements::run(&datastore, &session, ast, vars, &transaction, deadline, cancel).await?;
                    json_of(ran, results_bytes_max).map(Results::kept)
                };
                own.metered(Box::pin(statements)).await.map_err(|error| refused_index(&request).unwrap_or(error))
            };
            match effort.finished(work, &self.spent).await {
                // Nothing has left the scratch.
                Err(StatementError::OutcomeUnknown(cause)) => Err(StatementError::Failed(cause)),
                outcome => outcome,
            }
        })
    }

    /// Commits. `results` are kept with the id, and told to whoever asks for it again.
    ///
    /// # Errors
    /// See [`StatementError`]; dropping the future leaves the outcome open.
    pub fn commit(mut self, results: Bytes) -> BoxFuture<'static, Result<(), StatementError>> {
        Box::pin(async move {
            self.request.set_results(results);
            statements::commit(self.transaction.take().ok_or_else(ended)?).await
        })
    }
}

fn ended() -> StatementError {
    StatementError::Failed("the transaction has ended".to_owned())
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        let (Some(transaction), Ok(runtime)) = (self.transaction.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        // SurrealDB cleans up after a transaction in an async way only. Nothing has left the scratch.
        runtime.spawn(async move { drop(transaction.cancel().await) });
    }
}
