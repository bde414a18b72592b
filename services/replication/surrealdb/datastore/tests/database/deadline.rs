//! Requests end in time, and stop at their first failure.

use std::time::Duration;

use holdfast_datastore::StatementError;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{call, open, query, run, update};

#[test]
fn an_update_that_misses_its_deadline_changes_nothing() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item").await;
        for sql in ["CREATE item; SLEEP 1h", "CREATE item; FOR $n IN 0..100000000 { CREATE item }"] {
            let mut call = call(sql);
            let begun = Instant::now();
            call.deadline = begun + Duration::from_millis(200);
            assert_eq!(database.update(call).await.expect_err(sql), StatementError::Deadline, "{sql}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{sql} took {:?}", begun.elapsed());
            assert_eq!(query(&database, "SELECT * FROM item").await, json!([[]]), "{sql}");
        }
    });
}

#[test]
fn a_query_ends_at_its_deadline() {
    run(async {
        let database = open().await;
        let mut call = call("SLEEP 1h");
        call.deadline = Instant::now() + Duration::from_millis(100);
        assert_eq!(database.query(call).await, Err(StatementError::Deadline));
    });
}

#[test]
fn statements_behind_a_failed_one_are_not_run() {
    run(async {
        let database = open().await;
        let begun = Instant::now();
        let error = database.update(call("THROW 'first'; SLEEP 20s; SLEEP 20s")).await.expect_err("it throws");
        assert!(
            matches!(&error, StatementError::Statement { index: 0, message } if message.contains("first")),
            "{error:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    });
}

#[test]
fn an_update_goes_on_when_nobody_waits_for_it() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item").await;
        let waiting = database.update(call("SLEEP 100ms; CREATE item:1"));
        let gave_up = tokio::time::timeout(Duration::from_millis(20), waiting).await;
        assert!(gave_up.is_err());
        for _ in 0..500 {
            if query(&database, "SELECT VALUE id FROM item").await == json!([["item:1"]]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the record was never created");
    });
}

#[test]
fn writers_of_one_record_conflict_or_follow_each_other() {
    run(async {
        let database = open().await;
        update(&database, "CREATE item:1 SET n = 0").await;
        let mut done = 0;
        let mut writers = Vec::new();
        for _ in 0..8 {
            writers.push(database.update(call("UPDATE item:1 SET n += 1; SLEEP 20ms")));
        }
        for outcome in futures_of(writers).await {
            match outcome {
                Ok(_) => done += 1,
                Err(StatementError::Conflict(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        assert!(done >= 1);
        assert_eq!(query(&database, "SELECT VALUE n FROM ONLY item:1").await, json!([done]));
    });
}

async fn futures_of<T: Send + 'static>(futures: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let mut all = tokio::task::JoinSet::new();
    for future in futures {
        all.spawn(future);
    }
    all.join_all().await
}
