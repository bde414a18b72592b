//! One live query, from LIVE to KILL.

use std::sync::Arc;
use std::time::Duration;

use surrealdb_core::dbs::Session;
use surrealdb_core::kvs::Datastore;
use surrealdb_sql::{Ast, TopLevelExpr};
use surrealdb_types::{Uuid, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use super::hub::{Hub, LiveEvent};
use crate::checks;
use crate::error::StatementError;
use crate::statements::{self, Call};

/// The notifications of one live query. Dropping it ends the live query.
pub struct LiveStream {
    id: Uuid,
    events: mpsc::Receiver<LiveEvent>,
    hub: Arc<Hub>,
    datastore: Arc<Datastore>,
    session: Session,
}

impl LiveStream {
    /// The id that SurrealDB gave the live query.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// The next notification; `None` when the live query has ended, or when its reader fell too far behind.
    pub async fn next(&mut self) -> Option<LiveEvent> {
        self.events.recv().await
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.hub.close(self.id);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (datastore, session, id) = (Arc::clone(&self.datastore), self.session.clone(), self.id);
        runtime.spawn(async move {
            let deadline = Instant::now() + KILL_MAX;
            // What is left behind by a failure is found when it sends its next notification.
            if let Err(cause) = kill(datastore, session, id, deadline).await {
                warn!(live = %id, error = %cause, "a live query could not be ended");
            }
        });
    }
}

/// How long ending a live query may take.
const KILL_MAX: Duration = Duration::from_secs(10);
/// Pause before the next attempt. Every LIVE and KILL rewrites its table's definition, so those of one table conflict.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Registers a live query on this copy.
pub(crate) async fn open(datastore: Arc<Datastore>, hub: Arc<Hub>, call: Call) -> Result<LiveStream, StatementError> {
    let ast = checks::parse(&datastore, &call.sql)?;
    if !matches!(ast.expressions.as_slice(), [TopLevelExpr::Live(_)]) {
        return Err(StatementError::Unsupported("a live query is exactly one LIVE SELECT statement"));
    }
    let session = Session::owner().with_ns(&call.ns).with_db(&call.db).with_rt(true);
    let vars = crate::convert::variables(call.vars);
    loop {
        let transaction = statements::begin_write(&datastore, Some(&call.request)).await?;
        let one =
            statements::run_one(&datastore, &session, ast.clone(), vars.clone(), &transaction, call.deadline).await;
        let id = match one {
            Ok(Value::Uuid(id)) => id,
            other => {
                let _ = transaction.cancel().await;
                return Err(other.err().unwrap_or_else(|| StatementError::Failed("LIVE gave no id".to_owned())));
            }
        };
        // Before the commit: the first notification may come with it.
        let events = hub.open(id);
        match statements::commit(transaction).await {
            Ok(()) => {
                return Ok(LiveStream { id, events, hub, datastore, session });
            }
            Err(cause) => {
                hub.close(id);
                pause_before_retry(cause, call.deadline).await?;
            }
        }
    }
}

async fn kill(datastore: Arc<Datastore>, session: Session, id: Uuid, deadline: Instant) -> Result<(), StatementError> {
    let ast: Ast = checks::parse(&datastore, "KILL $id")?;
    loop {
        let vars = [("id".to_owned(), Value::Uuid(id))].into_iter().collect();
        let transaction = statements::begin_write(&datastore, None).await?;
        let killed = statements::run_one(&datastore, &session, ast.clone(), Some(vars), &transaction, deadline).await;
        if killed.is_err() {
            // Nothing of that id: its table is gone, and it with the table.
            let _ = transaction.cancel().await;
            return Ok(());
        }
        match statements::commit(transaction).await {
            Ok(()) => return Ok(()),
            Err(cause) => pause_before_retry(cause, deadline).await?,
        }
    }
}

async fn pause_before_retry(cause: StatementError, deadline: Instant) -> Result<(), StatementError> {
    if !matches!(cause, StatementError::Conflict(_)) || Instant::now() + RETRY_PAUSE >= deadline {
        return Err(cause);
    }
    tokio::time::sleep(RETRY_PAUSE).await;
    Ok(())
}
