//! Results, statement by statement, and the statements that read more than records.

use serde_json::json;

use crate::support::{open, query, run, update};

#[test]
fn each_statement_has_its_result() {
    run(async {
        let database = open().await;
        let results = update(
            &database,
            "LET $n = 2; CREATE item:1 SET n = $n; SELECT VALUE n FROM item; UPDATE item:1 SET n += 1 RETURN VALUE n; \
             DELETE item:1 RETURN BEFORE; SELECT * FROM ONLY item:1; DEFINE TABLE other; USE DB main; SLEEP 1ms",
        )
        .await;
        assert_eq!(
            results,
            json!([
                null,
                [{ "id": "item:1", "n": 2 }],
                [2],
                [3],
                [{ "id": "item:1", "n": 3 }],
                null,
                null,
                { "namespace": "main", "database": "main" },
                null
            ])
        );
    });
}

#[test]
fn use_holds_for_its_own_request_only() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item; USE NS other DB place; CREATE item:there").await;
        assert_eq!(query(&database, "SELECT VALUE id FROM item").await, json!([[]]));
        assert_eq!(
            query(&database, "USE NS other DB place; SELECT VALUE id FROM item").await[1],
            json!(["item:there"])
        );
    });
}

#[test]
fn all_statements_of_a_query_see_one_snapshot() {
    run(async {
        let database = open().await;
        update(&database, "CREATE item:1 SET n = 1").await;
        let reading = query(&database, "SELECT VALUE n FROM ONLY item:1; SLEEP 300ms; SELECT VALUE n FROM ONLY item:1");
        // Done long before the reader wakes; were it earlier than the first read, the results would agree all the same.
        let writing = update(&database, "UPDATE item:1 SET n = 2");
        let (results, _) = tokio::join!(reading, writing);
        assert_eq!(results[0], results[2]);
    });
}

#[test]
fn info_explain_and_show_changes_work_in_a_query() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item CHANGEFEED 1d; DEFINE INDEX n ON item FIELDS n").await;
        update(&database, "CREATE item:1 SET n = 1").await;
        for sql in ["INFO FOR ROOT", "INFO FOR NS", "INFO FOR DB", "INFO FOR TABLE item"] {
            assert!(query(&database, sql).await[0].is_object(), "{sql}");
        }
        let plan = query(&database, "SELECT * FROM item WHERE n = 1 EXPLAIN").await;
        assert!(plan.to_string().to_lowercase().contains("index"), "{plan}");
        let changes = query(&database, "SHOW CHANGES FOR TABLE item SINCE 0").await;
        assert!(changes.to_string().contains("item:1"), "{changes}");
    });
}

#[test]
fn an_index_is_built_in_the_request_or_behind_it() {
    run(async {
        let database = open().await;
        update(&database, "FOR $n IN 0..200 { CREATE item SET n = $n }").await;
        update(&database, "DEFINE INDEX now ON item FIELDS n").await;
        update(&database, "DEFINE INDEX later ON item FIELDS n UNIQUE CONCURRENTLY").await;
        assert_eq!(
            query(&database, "SELECT count() FROM item WHERE n < 100 GROUP ALL").await,
            json!([[{ "count": 100 }]])
        );
        let mut last = json!(null);
        for _ in 0..500 {
            last = query(&database, "INFO FOR INDEX later ON item").await;
            if last.to_string().contains("ready") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the index was not built: {last}");
    });
}

#[test]
fn namespaces_databases_and_tables_come_and_go() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE NAMESPACE extra; USE NS extra; DEFINE DATABASE one; USE DB one; CREATE item:1").await;
        update(&database, "USE NS extra DB one; REMOVE TABLE item; REMOVE DATABASE one; REMOVE NAMESPACE extra").await;
        assert!(query(&database, "INFO FOR ROOT").await[0]["namespaces"].get("extra").is_none());
    });
}
