//! What is refused, and with which words.

use holdfast_datastore::StatementError;
use serde_json::json;

use crate::support::{open, query, run, try_query, try_update, update};

#[test]
fn transaction_statements_are_refused_before_anything_runs() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item").await;
        for sql in ["BEGIN; CREATE item; COMMIT", "CREATE item; COMMIT", "CREATE item; CANCEL"] {
            let error = try_update(&database, sql).await.expect_err(sql);
            assert!(matches!(error, StatementError::TransactionStatement(_)), "{sql}: {error:?}");
        }
        assert_eq!(query(&database, "SELECT * FROM item").await, json!([[]]));
    });
}

#[test]
fn what_a_request_cannot_do_is_refused_as_unsupported() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item; DEFINE INDEX name ON item FIELDS name").await;
        for sql in [
            "LIVE SELECT * FROM item",
            "KILL u'018e6d3c-5b4b-7c3a-9f0e-0123456789ab'",
            "OPTION IMPORT; CREATE item",
            "REBUILD INDEX name ON item",
            "IF true { rebuild index name ON item }",
        ] {
            let error = try_update(&database, sql).await.expect_err(sql);
            assert!(matches!(error, StatementError::Unsupported(_)), "{sql}: {error:?}");
        }
        let text = update(&database, "RETURN 'REBUILD INDEX name, RebuildIndexStatement'").await;
        assert_eq!(text, json!(["REBUILD INDEX name, RebuildIndexStatement"]));
    });
}

#[test]
fn an_index_is_not_defined_behind_what_it_would_miss() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item; DEFINE FUNCTION fn::writes() { CREATE item }").await;
        for sql in [
            "CREATE item:1; DEFINE INDEX name ON item FIELDS name",
            "{ CREATE item:1; DEFINE INDEX name ON item FIELDS name }",
            "FOR $i IN 1..3 { CREATE item }; DEFINE INDEX name ON item FIELDS name CONCURRENTLY",
            "fn::writes(); DEFINE INDEX name ON item FIELDS name",
            "REMOVE TABLE item; DEFINE TABLE item; DEFINE INDEX name ON item FIELDS name",
            "DEFINE TABLE names AS SELECT name FROM item; DEFINE INDEX name ON names FIELDS name",
        ] {
            let error = try_update(&database, sql).await.expect_err(sql);
            assert!(matches!(error, StatementError::Unsupported(_)), "{sql}: {error:?}");
        }
        let first = "DEFINE EVENT made ON item THEN { CREATE other }; DEFINE INDEX name ON item FIELDS name; \
                     CREATE item:1 SET name = 'x'";
        update(&database, first).await;
        let found = query(&database, "SELECT VALUE id FROM item WHERE name = 'x'").await;
        assert_eq!(found, json!([["item:1"]]), "what is written behind the definition is in the index");
    });
}

#[test]
fn text_that_is_no_surrealql_is_refused_with_its_place() {
    run(async {
        let database = open().await;
        for sql in ["SELEC * FROM item", "CREATE item SET", "{", "\u{0}", &"(".repeat(5000), &"[".repeat(5000)] {
            let error = try_update(&database, sql).await.expect_err(sql);
            assert!(matches!(error, StatementError::Parse(_)), "{sql}: {error:?}");
        }
        let nested = format!("RETURN {}1{}", "{ RETURN ".repeat(300), " }".repeat(300));
        assert!(matches!(try_query(&database, &nested).await, Err(StatementError::Parse(_))));
    });
}

#[test]
fn a_query_cannot_write() {
    run(async {
        let database = open().await;
        update(&database, "CREATE item:1; DEFINE FUNCTION fn::writes() { CREATE item }; DEFINE SEQUENCE numbers").await;
        for sql in [
            "CREATE item",
            "UPDATE item SET n = 1",
            "UPSERT item:2",
            "INSERT INTO item { n: 1 }",
            "DELETE item",
            "RELATE item:1->knows->item:1",
            "DEFINE TABLE other",
            "REMOVE TABLE item",
            "RETURN fn::writes()",
            "RETURN { CREATE item; }",
            "CREATE missing",
            "DELETE missing",
            "USE NS elsewhere DB elsewhere",
            "SELECT * FROM (CREATE item)",
        ] {
            let error = try_query(&database, sql).await.expect_err(sql);
            assert_eq!(error, StatementError::ReadOnly, "{sql}");
        }
        assert_eq!(query(&database, "SELECT VALUE id FROM item").await, json!([["item:1"]]));
    });
}

#[test]
fn scripts_network_and_files_are_shut() {
    run(async {
        let database = open().await;
        for sql in [
            "RETURN function() { return 1 }",
            "RETURN http::get('http://127.0.0.1:1/')",
            "DEFINE BUCKET files BACKEND 'memory'",
            "RETURN eval::surql('CREATE item')",
        ] {
            try_update(&database, sql).await.expect_err(sql);
        }
    });
}
