//! Carries out the statements of a request: an update in one write transaction, a query in one read transaction.
//!
//! The futures of SurrealDB have kilobytes. A future is copied whole when it is handed to another one, which has room for it twice: in
//! three layers, ten kilobytes become eighty that are copied for each request. So they are put into boxes where they begin.

#![warn(clippy::large_futures)]

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use holdfast_storage::request::{self, Request};
use serde_json::Map;
use surrealdb_core::ctx::CancelHandle;
use surrealdb_core::dbs::Session;
use surrealdb_core::kvs::{Datastore, QueryRequest};
use surrealdb_datastore::Transaction;
use surrealdb_kvs::TransactionType;
use surrealdb_sql::Ast;
use surrealdb_types::{Value, Variables};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::checks::{check_query, check_update, parse};
use crate::convert::{self, Results};
use crate::effort::Effort;
use crate::error::StatementError;
use crate::failures::{as_query_error, failure, types_failure};
use crate::first_failure;

/// Version of SurrealDB's storage format that entries of this build carry: 3.3, as major * 100 + minor.
pub const STORAGE_VERSION: u16 = 303;

/// How long statements may take to stop once the deadline has passed.
const STOP_MAX: Duration = Duration::from_secs(2);

/// A request for the datastore.
pub struct Call {
    /// Namespace.
    pub ns: String,
    /// Database.
    pub db: String,
    /// Statements.
    pub sql: String,
    /// Variables.
    pub vars: Map<String, serde_json::Value>,
    /// The request that the transaction belongs to.
    pub request: Arc<Request>,
    /// When to give up.
    pub deadline: Instant,
    /// Most bytes of the results, as JSON. An update whose results have more takes effect, and they are left out: see
    /// [`crate::dropped_bytes`].
    pub results_bytes_max: usize,
}

/// Carries out an update in a task of its own: whoever waits for it may give up, but SurrealDB has to clean up after a
/// transaction that is abandoned, and what is in the log cannot be taken back halfway.
pub(crate) async fn update(
    datastore: Arc<Datastore>,
    call: Call,
    spent: CancellationToken,
) -> Result<Bytes, StatementError> {
    let effort = Effort::new();
    effort.finished(carry_out(datastore, call, effort.clone()), &spent).await
}

async fn carry_out(datastore: Arc<Datastore>, call: Call, effort: Effort) -> Result<Bytes, StatementError> {
    let request = Arc::clone(&call.request);
    // What is committed may be in the log: from there on nothing is stopped.
    let preparing = Box::pin(prepare(&datastore, call, effort.cancel()));
    let (transaction, results) = effort.metered(unbroken(preparing)).await?;
    request.set_results(results.clone());
    commit_now(&transaction).await?;
    Ok(results)
}

/// Runs what comes before a commit. A panic of SurrealDB in it is a failure of the statements: nothing was changed, and they would
/// break the next CSP in the same way.
async fn unbroken<T>(work: impl Future<Output = Result<T, StatementError>>) -> Result<T, StatementError> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(StatementError::Panicked(words.unwrap_or_else(|| "without a word".to_owned())))
    })
}

/// Runs the statements. Gives their results, and the transaction that is to be committed.
async fn prepare(
    datastore: &Datastore,
    call: Call,
    cancel: &CancelHandle,
) -> Result<(Arc<Transaction>, Bytes), StatementError> {
    let ast = parse(datastore, &call.sql)?;
    check_update(&ast, &call.sql)?;
    let session = Session::owner().with_ns(&call.ns).with_db(&call.db);
    let transaction = begin_write(datastore, Some(&call.request)).await?;
    let vars = convert::variables(call.vars);
    let ran = run(datastore, &session, ast, vars, &transaction, call.deadline, cancel).await;
    match ran.and_then(|values| json_of(values, call.results_bytes_max)).map(Results::kept) {
        Ok(results) => Ok((transaction, results)),
        Err(error) => {
            // Nothing has left the scratch; that it cannot be cancelled twice is no harm.
            let _ = transaction.cancel().await;
            Err(refused_index(&call.request).unwrap_or(error))
        }
    }
}

/// What to say when the storage engine refused an index, of which SurrealDB only says that a statement failed.
pub(crate) fn refused_index(request: &Request) -> Option<StatementError> {
    request.index_behind_writes().then_some(StatementError::Unsupported(
        "an index is built from what was committed before, and would miss what was written to its table ahead of it: put \
         DEFINE INDEX first, or into an update of its own",
    ))
}

/// Carries out a query in a task of its own, which may have to be left behind.
pub(crate) async fn query(
    datastore: Arc<Datastore>,
    call: Call,
    spent: CancellationToken,
) -> Result<Bytes, StatementError> {
    let effort = Effort::new();
    let own = effort.clone();
    let reading = async move { own.metered(unbroken(Box::pin(read(&datastore, call, own.cancel())))).await };
    match effort.finished(reading, &spent).await {
        // A task that broke has written nothing.
        Err(StatementError::OutcomeUnknown(cause)) => Err(StatementError::Failed(cause)),
        outcome => outcome,
    }
}

async fn read(datastore: &Datastore, call: Call, cancel: &CancelHandle) -> Result<Bytes, StatementError> {
    let ast = parse(datastore, &call.sql)?;
    check_query(&ast, &call.sql)?;
    let session = Session::owner().with_ns(&call.ns).with_db(&call.db);
    let opened = request::scope(call.request, datastore.transaction(TransactionType::Read)).await;
    let transaction = Arc::new(opened.map_err(|cause| failure(&cause))?);
    let vars = convert::variables(call.vars);
    let ran = run(datastore, &session, ast, vars, &transaction, call.deadline, cancel).await;
    let _ = transaction.cancel().await;
    let results = ran.and_then(|values| json_of(values, call.results_bytes_max));
    match results.map_err(as_query_error)? {
        Results::Json(json) => Ok(json),
        Results::TooLarge { bytes } => Err(StatementError::ResultsTooLarge { bytes, limit: call.results_bytes_max }),
    }
}

/// Opens a write transaction, for `request` when there is one.
pub(crate) async fn begin_write(
    datastore: &Datastore,
    request: Option<&Arc<Request>>,
) -> Result<Arc<Transaction>, StatementError> {
    let opening = datastore.transaction(TransactionType::Write);
    let opened = match request {
        Some(request) => request::scope(Arc::clone(request), opening).await,
        None => opening.await,
    };
    opened.map(Arc::new).map_err(|cause| failure(&cause))
}

/// Commits in a task of its own, for callers that may be dropped.
pub(crate) async fn commit(transaction: Arc<Transaction>) -> Result<(), StatementError> {
    match tokio::spawn(async move { commit_now(&transaction).await }).await {
        Ok(outcome) => outcome,
        Err(cause) => Err(StatementError::OutcomeUnknown(cause.to_string())),
    }
}

async fn commit_now(transaction: &Transaction) -> Result<(), StatementError> {
    Box::pin(transaction.commit()).await.map_err(|cause| failure(&cause))
}

/// Runs one statement and gives its value.
pub(crate) async fn run_one(
    datastore: &Datastore,
    session: &Session,
    ast: Ast,
    vars: Option<Variables>,
    transaction: &Arc<Transaction>,
    deadline: Instant,
) -> Result<Value, StatementError> {
    let values = run(datastore, session, ast, vars, transaction, deadline, &CancelHandle::new()).await?;
    values.into_iter().next().ok_or_else(|| StatementError::Failed("the statement gave no result".to_owned()))
}

/// Runs statements in `transaction`, which stays open, until the first one that fails, the deadline, or `cancel`.
pub(crate) async fn run(
    datastore: &Datastore,
    session: &Session,
    ast: Ast,
    vars: Option<Variables>,
    transaction: &Arc<Transaction>,
    deadline: Instant,
    cancel: &CancelHandle,
) -> Result<Vec<Value>, StatementError> {
    let statements = Box::pin(
        datastore.run(
            QueryRequest::new(ast, session)
                .with_variables(vars)
                .with_transaction(Arc::clone(transaction))
                .with_cancel(cancel.clone()),
        ),
    );
    let mut statements = std::pin::pin!(first_failure::watch(cancel.clone(), statements));
    if let Ok(ran) = tokio::time::timeout_at(deadline, &mut statements).await {
        return values(ran.map_err(|cause| types_failure(0, &cause))?);
    }
    cancel.trip();
    // Stopped at its next safe point, nearly always at once. What waits without one, such as an index build, is dropped.
    match tokio::time::timeout(STOP_MAX, statements).await {
        Ok(Ok(ran)) => Err(values(ran).err().unwrap_or(StatementError::Deadline)),
        _ => Err(StatementError::Deadline),
    }
}

pub(crate) async fn execute_plain(
    datastore: &Datastore,
    session: &Session,
    sql: &str,
) -> Result<Bytes, StatementError> {
    let results = Box::pin(datastore.execute(sql, session, None)).await.map_err(|cause| types_failure(0, &cause))?;
    json_of(values(results)?, usize::MAX).map(Results::kept)
}

pub(crate) fn json_of(values: Vec<Value>, bytes_max: usize) -> Result<Results, StatementError> {
    convert::results(values, bytes_max).map_err(|cause| StatementError::Failed(cause.to_string()))
}

type Ran = Vec<surrealdb_rpc::QueryResult>;

/// The values of all statements, or the first failure.
fn values(ran: Ran) -> Result<Vec<Value>, StatementError> {
    let failed = ran.iter().enumerate().find_map(|(index, result)| Some((index, result.result.as_ref().err()?)));
    if let Some((index, cause)) = failed {
        return Err(types_failure(index, cause));
    }
    Ok(ran.into_iter().filter_map(|result| result.result.ok()).collect())
}
