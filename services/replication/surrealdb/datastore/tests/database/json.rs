//! JSON in and out is what SurrealDB's HTTP endpoint makes of it.

use serde_json::{Value, json};

use crate::support::{call, open, query, run, update};

#[test]
fn every_kind_of_value_becomes_the_json_of_the_http_endpoint() {
    let table = [
        ("NONE", json!(null)),
        ("NULL", json!(null)),
        ("true", json!(true)),
        ("42", json!(42)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.5", json!(1.5)),
        ("1.0", json!(1.0)),
        ("math::sqrt(-1)", json!(null)),
        ("math::inf", json!(null)),
        ("1.10dec", json!("1.1")),
        ("12345678901234567890.123dec", json!("12345678901234567890.123")),
        ("'text'", json!("text")),
        ("'quo\"te'", json!("quo\"te")),
        ("1h30m", json!("1h30m")),
        ("d'2026-01-02T03:04:05.123Z'", json!("2026-01-02T03:04:05.123Z")),
        ("d'2026-01-02T03:04:05Z'", json!("2026-01-02T03:04:05Z")),
        ("u'018e6d3c-5b4b-7c3a-9f0e-0123456789ab'", json!("018e6d3c-5b4b-7c3a-9f0e-0123456789ab")),
        ("<bytes>'abc'", json!([97, 98, 99])),
        ("[1, 'a', NONE]", json!([1, "a", null])),
        ("<set>[3, 1, 1]", json!([1, 3])),
        ("{ a: 1, b: { c: [] } }", json!({ "a": 1, "b": { "c": [] } })),
        ("person:tobie", json!("person:tobie")),
        ("person:1", json!("person:1")),
        ("person:`a-b`", json!("person:`a-b`")),
        ("person:['x', 1]", json!("person:['x', 1]")),
        ("type::table('person')", json!("person")),
        ("1..5", json!("1..5")),
        ("(1.5, 2.5)", json!({ "type": "Point", "coordinates": [1.5, 2.5] })),
    ];
    run(async {
        let database = open().await;
        for (expression, expected) in table {
            let results = query(&database, &format!("RETURN {expression}")).await;
            assert_eq!(results, json!([expected]), "RETURN {expression}");
        }
    });
}

#[test]
fn variables_keep_their_json_types() {
    let table = [
        (json!(null), "null"),
        (json!(true), "bool"),
        (json!(7), "int"),
        (json!(1.5), "float"),
        (json!(u64::MAX), "decimal"),
        (json!("2026-01-02T03:04:05Z"), "string"),
        (json!("person:tobie"), "string"),
        (json!("d'2026-01-02T03:04:05Z'"), "string"),
        (json!([1]), "array"),
        (json!({ "a": 1 }), "object"),
    ];
    run(async {
        let database = open().await;
        for (value, kind) in table {
            let mut call = call("RETURN type::of($value); RETURN $value");
            call.vars.insert("value".to_owned(), value.clone());
            let results: Value =
                serde_json::from_slice(&database.query(call).await.expect("the query runs")).expect("JSON");
            let back = if kind == "decimal" { json!(value.to_string()) } else { value };
            assert_eq!(results, json!([kind, back]));
        }
    });
}

#[test]
fn values_as_deep_as_a_message_may_be_go_in_and_out() {
    run(async {
        let database = open().await;
        let mut value = json!(1);
        for _ in 0..60 {
            value = json!({ "deeper": value });
        }
        let mut call = call("CREATE deep:one SET value = $value RETURN NONE");
        call.vars.insert("value".to_owned(), value.clone());
        database.update(call).await.expect("the record is created");
        assert_eq!(query(&database, "SELECT VALUE value FROM ONLY deep:one").await, json!([value]));
        update(&database, "DELETE deep").await;
    });
}
