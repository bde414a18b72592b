//! An engine that several databases can share, and short ways to ask them.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use holdfast_datastore::{Call, Database, OpenOptions, StatementError};
use holdfast_storage::request::Request;
use serde_json::{Map, Value};
use surrealdb_kvs::api::{BoxFut, Transactable};
use surrealdb_kvs::err::Result as StorageResult;
use surrealdb_kvs::{Metrics, TransactionBuilder, TransactionType};
use tokio::time::Instant;

/// The in-memory engine, shared: two databases on it are two SurrealDB nodes on one store.
#[derive(Clone)]
pub struct SharedEngine(Arc<surrealdb_kvs_mem::Datastore>);

impl SharedEngine {
    pub async fn new() -> Self {
        let engine = surrealdb_kvs_mem::Datastore::new(surrealdb_kvs_mem::MemoryConfig::default()).await;
        Self(Arc::new(engine.expect("the in-memory engine opens")))
    }
}

impl fmt::Display for SharedEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("shared memory")
    }
}

impl TransactionBuilder for SharedEngine {
    fn name(&self) -> &'static str {
        "shared memory"
    }

    fn new_transaction(&self, kind: TransactionType) -> BoxFut<'_, StorageResult<(Box<dyn Transactable>, bool)>> {
        self.0.new_transaction(kind)
    }

    fn shutdown(&self) -> BoxFut<'_, StorageResult<()>> {
        Box::pin(async { Ok(()) })
    }

    fn register_metrics(&self) -> Option<Metrics> {
        None
    }

    fn collect_u64_metric(&self, _metric: &str) -> Option<u64> {
        None
    }
}

/// Runs a test with the stack that SurrealDB needs for deep statements.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(10 << 20)
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(test);
}

/// A database on an engine, as node `node`.
pub async fn open_on(engine: &SharedEngine, node: u8) -> Arc<Database> {
    let options = OpenOptions { engine: Box::new(engine.clone()), node_id: [node; 16] };
    let database = Database::open(options).await.expect("the database opens");
    database.initialise("main".to_owned(), "main".to_owned()).await.expect("the default database is defined");
    database
}

/// A database of its own.
pub async fn open() -> Arc<Database> {
    open_on(&SharedEngine::new().await, 1).await
}

/// A request with `sql` and time enough.
pub fn call(sql: &str) -> Call {
    Call {
        ns: "main".to_owned(),
        db: "main".to_owned(),
        sql: sql.to_owned(),
        vars: Map::new(),
        request: Request::new(None),
        deadline: Instant::now() + Duration::from_secs(30),
        results_bytes_max: usize::MAX,
    }
}

/// The results of an update.
pub async fn try_update(database: &Database, sql: &str) -> Result<Value, StatementError> {
    database.update(call(sql)).await.map(|json| serde_json::from_slice(&json).expect("results are JSON"))
}

/// The results of an update that has to succeed.
pub async fn update(database: &Database, sql: &str) -> Value {
    try_update(database, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}

/// The results of a query.
pub async fn try_query(database: &Database, sql: &str) -> Result<Value, StatementError> {
    database.query(call(sql)).await.map(|json| serde_json::from_slice(&json).expect("results are JSON"))
}

/// The results of a query that has to succeed.
pub async fn query(database: &Database, sql: &str) -> Value {
    try_query(database, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
}
