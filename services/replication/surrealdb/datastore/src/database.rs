//! One SurrealDB datastore: opened on our storage engine, or plain for comparison.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use holdfast_storage::BoxFuture;
use holdfast_storage::request::Request;
use surrealdb_core::dbs::{MessageBroker, Session};
use surrealdb_core::kvs::{Builder, Datastore};
use surrealdb_kvs::{TransactionBuilder, TransactionType};
use surrealdb_types::Uuid;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine_options::quiet;
use crate::error::{OpenError, StatementError};
use crate::export::{self, Export};
use crate::factory::Given;
use crate::first_failure::FirstFailure;
use crate::live::{self, Broker, Hub, LiveRouter, LiveStream};
use crate::open_transaction::{self, OpenTransaction};
use crate::statements::{self, Call};

/// How a datastore is opened.
pub struct OpenOptions {
    /// The storage engine; it must be able to serve.
    pub engine: Box<dyn TransactionBuilder>,
    /// Identity of this copy among SurrealDB's nodes: stable over restarts, different on every copy.
    pub node_id: [u8; 16],
}

/// A running SurrealDB.
pub struct Database {
    datastore: Arc<Datastore>,
    live: Arc<Broker>,
    spent: CancellationToken,
}

/// How long SurrealDB may take to end its tasks.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

impl Database {
    /// Opens SurrealDB on a storage engine and settles its storage version, which writes only when the database is new.
    /// It does not join SurrealDB's own list of nodes yet, nor start its housekeeping: see [`Database::join`].
    ///
    /// # Errors
    /// When the version cannot be settled; try again when the log takes writes.
    pub fn open(options: OpenOptions) -> BoxFuture<'static, Result<Arc<Self>, OpenError>> {
        Box::pin(async move {
            let (live, orphans) = broker(options.node_id);
            // SurrealDB's default capabilities are the right ones: no scripts, no network, no files, no nested queries.
            let datastore = Builder::new()
                .with_engine_options(quiet())
                .with_id(uuid::Uuid::from_bytes(options.node_id))
                .with_live_query_broker(Arc::clone(&live) as Arc<dyn MessageBroker>)
                .with_observer(Arc::new(FirstFailure))
                .without_maintenance_tasks()
                .build_with_factory_path("holdfast", Given::new(options.engine))
                .await
                .map_err(OpenError::at("opening surrealdb"))?;
            datastore.check_version().await.map_err(OpenError::at("settling surrealdb's storage version"))?;
            tokio::spawn(remove_orphans(Arc::downgrade(&datastore), orphans));
            Ok(Arc::new(Self { datastore, live, spent: CancellationToken::new() }))
        })
    }

    /// Opens an unmodified embedded SurrealDB at a path such as `surrealkv://folder`: the reference of the benches. It has
    /// no live queries.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_plain(path: String) -> BoxFuture<'static, Result<Arc<Self>, OpenError>> {
        Box::pin(async move {
            let datastore = Builder::new().build_with_path(&path).await.map_err(OpenError::at("opening surrealdb"))?;
            datastore.check_version().await.map_err(OpenError::at("settling surrealdb's storage version"))?;
            datastore.bootstrap().await.map_err(OpenError::at("joining surrealdb's nodes"))?;
            let (live, _) = broker(*datastore.id().as_bytes());
            Ok(Arc::new(Self { datastore, live, spent: CancellationToken::new() }))
        })
    }

    /// Enters this copy into SurrealDB's list of nodes and starts its housekeeping. Writes.
    ///
    /// # Errors
    /// When the writes are not taken; try again.
    pub fn join(self: Arc<Self>) -> BoxFuture<'static, Result<(), OpenError>> {
        Box::pin(async move {
            self.datastore.bootstrap().await.map_err(OpenError::at("joining surrealdb's nodes"))?;
            self.datastore.start_maintenance_tasks();
            Ok(())
        })
    }

    /// Defines a namespace and a database in it where they are missing. Writes only then.
    ///
    /// # Errors
    /// When the definition is not taken; try again.
    pub fn initialise(&self, ns: String, db: String) -> BoxFuture<'_, Result<(), OpenError>> {
        Box::pin(async move {
            let session = Session::owner().with_ns(&ns).with_db(&db);
            let sql = format!("DEFINE NAMESPACE IF NOT EXISTS `{ns}`; DEFINE DATABASE IF NOT EXISTS `{db}`;");
            let known = self.datastore.execute("INFO FOR DB", &session, None).await;
            if matches!(&known, Ok(results) if results.iter().all(|result| result.result.is_ok()))
                && self.exists(&ns, &db).await
            {
                return Ok(());
            }
            let results =
                self.datastore.execute(&sql, &session, None).await.map_err(OpenError::at("defining the database"))?;
            for result in results {
                result.result.map_err(OpenError::at("defining the database"))?;
            }
            Ok(())
        })
    }

    async fn exists(&self, ns: &str, db: &str) -> bool {
        let session = Session::owner().with_ns(ns);
        let Ok(results) = self.datastore.execute("INFO FOR NS", &session, None).await else {
            return false;
        };
        let info = results
            .into_iter()
            .next()
            .and_then(|result| result.result.ok())
            .map(surrealdb_types::Value::into_json_value);
        info.and_then(|info| info.get("databases").and_then(|databases| databases.get(db)).cloned()).is_some()
    }

    /// Carries out all statements in one write transaction, or none. Gives their results as a JSON array.
    ///
    /// # Errors
    /// See [`StatementError`]. Dropping the future does not stop the update: it goes on in a task of its own.
    pub fn update(&self, call: Call) -> BoxFuture<'static, Result<Bytes, StatementError>> {
        Box::pin(statements::update(Arc::clone(&self.datastore), call, self.spent.clone()))
    }

    /// Opens a transaction for statements that come one message after the other.
    ///
    /// # Errors
    /// See [`StatementError`].
    pub fn begin(
        &self,
        ns: String,
        db: String,
        request: Arc<Request>,
    ) -> BoxFuture<'static, Result<OpenTransaction, StatementError>> {
        let (datastore, spent) = (Arc::clone(&self.datastore), self.spent.clone());
        Box::pin(async move { open_transaction::begin(datastore, &ns, &db, request, spent).await })
    }

    /// Carries out all statements in one read transaction. Gives their results as a JSON array.
    ///
    /// # Errors
    /// See [`StatementError`].
    pub fn query(&self, call: Call) -> BoxFuture<'static, Result<Bytes, StatementError>> {
        Box::pin(statements::query(Arc::clone(&self.datastore), call, self.spent.clone()))
    }

    /// Carries out statements the way SurrealDB does for its own clients, each in a transaction of its own, without any of
    /// our rules: for the benches' reference.
    ///
    /// # Errors
    /// With SurrealDB's own words.
    pub fn execute_plain(&self, ns: &str, db: &str, sql: String) -> BoxFuture<'_, Result<Bytes, StatementError>> {
        let session = Session::owner().with_ns(ns).with_db(db);
        Box::pin(async move { statements::execute_plain(&self.datastore, &session, &sql).await })
    }

    /// Registers a live query, `LIVE SELECT ...`, on this copy; it is fed by the writes of all copies.
    ///
    /// # Errors
    /// See [`StatementError`].
    pub fn live(&self, call: Call) -> BoxFuture<'static, Result<LiveStream, StatementError>> {
        Box::pin(live::open(Arc::clone(&self.datastore), Arc::clone(self.live.hub()), call))
    }

    /// Sets who carries live notifications to other copies. Without a router only this copy's live queries are fed.
    pub fn route_live(&self, router: Arc<dyn LiveRouter>) {
        self.live.route_with(router);
    }

    /// Takes a live notification that another copy's router sent here.
    pub fn deliver_live(&self, notification: &[u8]) {
        self.live.deliver(notification);
    }

    /// The whole database as SurrealQL, read at the position that `request` is told.
    ///
    /// # Errors
    /// When there is no such database.
    pub fn export(
        &self,
        ns: String,
        db: String,
        request: Arc<Request>,
    ) -> BoxFuture<'static, Result<Export, StatementError>> {
        Box::pin(export::start(Arc::clone(&self.datastore), ns, db, request))
    }

    /// Tells SurrealDB about keys that other copies wrote, after they were applied here.
    pub fn applied_remote(&self, keys: &[&[u8]]) {
        crate::memory::applied_remote(&self.datastore, keys);
    }

    /// Resolves when a statement that took too much memory could not be stopped: it was left behind with what it holds, so this
    /// process should be replaced.
    pub fn spent(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.spent.cancelled())
    }

    /// Whether a transaction can be opened.
    pub fn is_healthy(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            match self.datastore.transaction(TransactionType::Read).await {
                Ok(transaction) => transaction.cancel().await.is_ok(),
                Err(_) => false,
            }
        })
    }

    /// Ends SurrealDB's tasks and leaves its list of nodes, as far as that works within a few seconds.
    pub fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match tokio::time::timeout(SHUTDOWN_MAX, self.datastore.shutdown()).await {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => tracing::warn!(error = %cause, "surrealdb did not shut down cleanly"),
                Err(_) => tracing::warn!("surrealdb did not shut down in time"),
            }
        })
    }
}

fn broker(node_id: [u8; 16]) -> (Arc<Broker>, mpsc::UnboundedReceiver<Uuid>) {
    let (hub, orphans) = Hub::new();
    (Arc::new(Broker::new(node_id, Arc::new(hub))), orphans)
}

/// Removes subscriptions that an earlier process of this node left behind, as soon as one of them sends a notification.
async fn remove_orphans(datastore: Weak<Datastore>, mut orphans: mpsc::UnboundedReceiver<Uuid>) {
    while let Some(id) = orphans.recv().await {
        let Some(datastore) = datastore.upgrade() else { return };
        if let Err(cause) = datastore.delete_queries(vec![id.into_inner()]).await {
            tracing::warn!(live = %id, error = %cause, "a live query that nobody reads could not be removed");
        }
    }
}
