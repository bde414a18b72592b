//! A transaction over several messages.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_datastore::{Database, OpenTransaction, StatementError};
use holdfast_storage::request::Request;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::logged::open_logged;
use crate::support::{open, query, run, update};

async fn begin(database: &Arc<Database>) -> OpenTransaction {
    database.begin("main".to_owned(), "main".to_owned(), Request::new(None)).await.expect("a transaction opens")
}

async fn execute(transaction: &OpenTransaction, sql: &str) -> Result<Value, StatementError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let results = transaction.execute(sql.to_owned(), Map::new(), deadline, usize::MAX).await?;
    Ok(serde_json::from_slice(&results).expect("results are JSON"))
}

#[test]
fn later_messages_see_what_earlier_ones_wrote_and_others_see_it_after_the_commit() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item").await;
        let transaction = begin(&database).await;
        execute(&transaction, "CREATE item:one").await.expect("it is created");
        let seen = execute(&transaction, "SELECT VALUE id FROM item").await.expect("it is read");
        assert_eq!(seen, json!([["item:one"]]));
        assert_eq!(query(&database, "SELECT VALUE id FROM item").await, json!([[]]));
        transaction.commit(Bytes::from_static(b"[]")).await.expect("it commits");
        assert_eq!(query(&database, "SELECT VALUE id FROM item").await, json!([["item:one"]]));
    });
}

#[test]
fn what_is_dropped_never_happened() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item").await;
        let transaction = begin(&database).await;
        execute(&transaction, "CREATE item:one").await.expect("it is created");
        drop(transaction);
        update(&database, "CREATE item:two").await;
        assert_eq!(query(&database, "SELECT VALUE id FROM item").await, json!([["item:two"]]));
    });
}

#[test]
fn statements_are_checked_as_those_of_an_update() {
    run(async {
        let database = open().await;
        let transaction = begin(&database).await;
        assert_eq!(execute_error(&transaction, "COMMIT").await, StatementError::TransactionStatement("COMMIT"));
        assert!(matches!(execute_error(&transaction, "THROW 'no'").await, StatementError::Statement { index: 0, .. }));
    });
}

#[test]
fn an_index_is_defined_ahead_of_what_is_written_to_its_table_and_not_behind_it() {
    run(async {
        let database = open_logged().await;
        let transaction = begin(&database).await;
        execute(&transaction, "CREATE other:1; DEFINE INDEX name ON item FIELDS name").await.expect("it is defined");
        execute(&transaction, "CREATE item:1 SET name = 'x'").await.expect("it is created");
        transaction.commit(Bytes::from_static(b"[]")).await.expect("it commits");
        assert_eq!(query(&database, "SELECT VALUE id FROM item WHERE name = 'x'").await, json!([["item:1"]]));
        let transaction = begin(&database).await;
        execute(&transaction, "CREATE other:2").await.expect("it is created");
        let behind = execute_error(&transaction, "DEFINE INDEX name ON other FIELDS name").await;
        assert!(matches!(behind, StatementError::Unsupported(_)), "{behind:?}");
    });
}

async fn execute_error(transaction: &OpenTransaction, sql: &str) -> StatementError {
    execute(transaction, sql).await.expect_err(sql)
}
