//! All statements of an update or none.

use holdfast_datastore::StatementError;
use serde_json::json;

use crate::support::{open, query, run, try_update, update};

/// Index and message of the failed statement.
fn failed(error: StatementError) -> (usize, String) {
    match error {
        StatementError::Statement { index, message } => (index, message),
        other => panic!("expected a failed statement, got {other:?}"),
    }
}

#[test]
fn a_failing_statement_takes_those_before_and_behind_it_along() {
    run(async {
        let database = open().await;
        update(&database, "CREATE item:kept").await;
        let error = try_update(&database, "CREATE item:before; CREATE item:kept; CREATE item:behind").await;
        let (index, message) = failed(error.expect_err("a record exists already"));
        assert_eq!(index, 1);
        assert!(message.contains("item:kept"), "{message}");
        assert_eq!(query(&database, "SELECT VALUE id FROM item").await, json!([["item:kept"]]));
    });
}

#[test]
fn throw_break_and_a_failure_inside_a_function_all_undo_everything() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item; DEFINE FUNCTION fn::fails() { CREATE item; THROW 'inside'; }").await;
        for (sql, index) in [
            ("CREATE item; THROW 'stop'", 1),
            ("CREATE item; BREAK", 1),
            ("CREATE item; CONTINUE", 1),
            ("CREATE item; fn::fails()", 1),
            ("CREATE item; IF true { CREATE item; THROW 'nested' }", 1),
            ("CREATE item; UPDATE item SET n = 1 + 'text'", 1),
            ("CREATE item; SELECT * FROM item; RETURN fn::unknown()", 2),
            ("CREATE item; SELECT * FROM nowhere", 1),
        ] {
            let (at, message) = failed(try_update(&database, sql).await.expect_err(sql));
            assert_eq!(at, index, "{sql}: {message}");
            assert_eq!(
                query(&database, "SELECT count() FROM item GROUP ALL").await,
                json!([[{ "count": 0 }]]),
                "{sql}"
            );
        }
    });
}

#[test]
fn return_gives_a_value_and_the_statements_behind_it_still_run() {
    run(async {
        let database = open().await;
        assert_eq!(update(&database, "RETURN 1; CREATE item:one RETURN NONE; RETURN 2").await, json!([1, [], 2]));
        assert_eq!(query(&database, "SELECT VALUE id FROM item").await, json!([["item:one"]]));
    });
}

#[test]
fn a_unique_index_and_an_event_belong_to_the_transaction() {
    run(async {
        let database = open().await;
        update(
            &database,
            "DEFINE INDEX mail ON person FIELDS mail UNIQUE; \
             DEFINE EVENT told ON person WHEN $event = 'CREATE' THEN (CREATE told SET mail = $after.mail)",
        )
        .await;
        update(&database, "CREATE person:1 SET mail = 'a'").await;
        let refused = try_update(&database, "CREATE person:2 SET mail = 'b'; CREATE person:3 SET mail = 'a'").await;
        assert_eq!(failed(refused.expect_err("the mail is taken")).0, 1);
        assert_eq!(query(&database, "SELECT VALUE mail FROM told").await, json!([["a"]]));
    });
}

#[test]
fn definitions_are_undone_too() {
    run(async {
        let database = open().await;
        let sql = "DEFINE TABLE gone; DEFINE FIELD name ON gone TYPE string; DEFINE INDEX name ON gone FIELDS name; \
                   CREATE gone SET name = 'x'; THROW 'no'";
        try_update(&database, sql).await.expect_err("it throws");
        let info = query(&database, "INFO FOR DB").await;
        assert_eq!(info[0]["tables"], json!({}));
        // The names are free again.
        update(&database, "DEFINE TABLE gone; DEFINE INDEX name ON gone FIELDS name").await;
    });
}
