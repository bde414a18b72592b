//! Results that are larger than they may be: refused to a query, left out of an update that took effect.

use holdfast_datastore::{Call, StatementError, dropped_bytes};
use serde_json::Value;

use crate::support::{call, open, query, run, update};

fn bounded(sql: &str, results_bytes_max: usize) -> Call {
    Call { results_bytes_max, ..call(sql) }
}

#[test]
fn are_the_json_of_the_values_up_to_the_last_byte() {
    run(async {
        let database = open().await;
        let sql = "RETURN [1, [], [NONE, 'x\"', [2.5]], { a: [3] }]; RETURN NONE; RETURN 'y'";
        let whole = database.query(bounded(sql, usize::MAX)).await.expect("it is answered");
        let expected = r#"[[1,[],[null,"x\"",[2.5]],{"a":[3]}],null,"y"]"#;
        assert_eq!(serde_json::from_slice::<Value>(&whole).unwrap(), serde_json::from_str::<Value>(expected).unwrap());
        assert_eq!(whole.len(), expected.len());
        assert_eq!(database.query(bounded(sql, whole.len())).await.expect("it fits"), whole);
        let limit = whole.len() - 1;
        let refused = database.query(bounded(sql, limit)).await;
        assert_eq!(refused, Err(StatementError::ResultsTooLarge { bytes: whole.len(), limit }));
        // Far above the bound they are not counted to the end.
        let refused = database.query(bounded("RETURN array::range(0, 10000)", 100)).await;
        assert!(matches!(refused, Err(StatementError::ResultsTooLarge { bytes: 6_400..7_000, .. })), "{refused:?}");
    });
}

#[test]
fn are_left_out_of_an_update_that_took_effect() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE one").await;
        let sql = "CREATE one:1 SET text = string::repeat('x', 1000)";
        let kept = database.update(bounded(sql, 500)).await.expect("it took effect");
        assert!(dropped_bytes(&kept).is_some_and(|bytes| bytes > 1_000), "{kept:?}");
        assert_eq!(query(&database, "RETURN count((SELECT id FROM one))").await, serde_json::json!([1]));
        for results in ["[]", "[1,{}]", r#"{"results_dropped":x}"#, ""] {
            assert_eq!(dropped_bytes(results.as_bytes()), None, "{results}");
        }
    });
}
