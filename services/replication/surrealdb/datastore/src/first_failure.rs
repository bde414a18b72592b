//! Stops a request at its first failing statement.
//!
//! In a transaction that its caller owns, SurrealDB goes on with the statements behind a failed one. Here the failure
//! decides the whole request, so what follows would be work for nothing: a guard that throws must not first let a large
//! DELETE run. SurrealDB tells its observer about every statement as it ends; ours trips the handle of the request.

use surrealdb_core::ctx::CancelHandle;
use surrealdb_observe::events::{Outcome, StatementEvent};
use surrealdb_observe::observer::ExecutionObserver;

tokio::task_local! {
    static RUNNING: CancelHandle;
}

/// Runs statements; the first one that fails trips `cancel`, and those behind it end before they do anything.
pub(crate) async fn watch<F: Future>(cancel: CancelHandle, statements: F) -> F::Output {
    RUNNING.scope(cancel, statements).await
}

/// What SurrealDB is given as its observer.
pub(crate) struct FirstFailure;

impl ExecutionObserver for FirstFailure {
    fn on_statement_complete(&self, event: &StatementEvent) {
        if event.safe.outcome == Outcome::Error {
            // Statements of SurrealDB's own tasks run outside of any request.
            let _ = RUNNING.try_with(CancelHandle::trip);
        }
    }
}
