//! What readers are told about bytes that are not what they should be, and how messages look on the wire.

use holdfast_schemas::codec::peek_type;
use holdfast_schemas::limits::{MAX_JSON_DEPTH, MAX_REQUEST_BYTES};
use holdfast_schemas::message::{
    Assignment, Consistency, CspStateChange, ErrorReply, GroupDefineRequest, GroupDefinition, Heartbeat, LogControl,
    QueryReply, QueryRequest, Results, ResultsDropped, StatusRequest, SupervisionPolicy, UpdateReply, UpdateRequest,
    decode_reply, query_reply_bytes, update_reply_bytes,
};
use holdfast_schemas::{DecodeError, ErrorCode, Message};
use proptest::prelude::*;
use serde_json::{Value, json};

fn update(body: &str) -> Result<UpdateRequest, DecodeError> {
    UpdateRequest::decode(body.as_bytes())
}

fn query(body: Value) -> Result<QueryRequest, DecodeError> {
    QueryRequest::decode(body.to_string().as_bytes())
}

#[test]
fn the_type_stands_first_also_without_other_members() {
    assert_eq!(StatusRequest {}.encode(), br#"{"type":"io.holdfast.replication.v1.status_request"}"#);
    let text = String::from_utf8(UpdateRequest::new("RETURN 1").encode()).unwrap();
    assert_eq!(text, r#"{"type":"io.holdfast.execution.v1.update_request","ns":"main","db":"main","sql":"RETURN 1"}"#);
}

#[test]
fn the_type_of_a_request_may_be_left_out_or_stand_anywhere() {
    let plain = UpdateRequest::new("RETURN 1");
    assert_eq!(update(r#"{"sql":"RETURN 1"}"#).unwrap(), plain);
    assert_eq!(update(r#"{"sql":"RETURN 1","type":"io.holdfast.execution.v1.update_request"}"#).unwrap(), plain);
}

#[test]
fn each_way_to_be_wrong_is_told_apart() {
    assert!(matches!(update("nonsense"), Err(DecodeError::NotJson { .. })));
    assert!(matches!(update(r#"{"sql":"#), Err(DecodeError::NotJson { .. })));
    assert!(matches!(update(""), Err(DecodeError::NotJson { .. })));
    assert!(matches!(update(r#"{"sql":"RETURN 1"} x"#), Err(DecodeError::NotJson { .. })));
    assert!(matches!(
        update(r#"{"type":"io.holdfast.execution.v1.query_request"}"#),
        Err(DecodeError::WrongType { .. })
    ));
    assert!(matches!(update(r#"{"sql":1}"#), Err(DecodeError::Invalid { .. })));
    assert!(matches!(update(r#"{}"#), Err(DecodeError::Invalid { .. })));
    assert!(matches!(update(r#"[]"#), Err(DecodeError::Invalid { .. })));
    let unknown = update(r#"{"sql":"RETURN 1","variables":{}}"#).unwrap_err();
    assert!(matches!(unknown, DecodeError::UnknownField { .. }));
    assert!(unknown.to_string().contains("unknown field `variables`"), "{unknown}");
    assert_eq!(unknown.code(), ErrorCode::InvalidRequest);
}

#[test]
fn hostile_bodies_are_refused_before_they_are_parsed() {
    let brackets = "[".repeat(MAX_REQUEST_BYTES);
    assert_eq!(update(&brackets), Err(DecodeError::TooDeep { limit: MAX_JSON_DEPTH }));
    let large = update(&" ".repeat(MAX_REQUEST_BYTES + 1)).unwrap_err();
    assert_eq!(large, DecodeError::TooLarge { bytes: MAX_REQUEST_BYTES + 1, limit: MAX_REQUEST_BYTES });
    assert_eq!(ErrorReply::from(&large).error.code, ErrorCode::RequestTooLarge);
}

#[test]
fn nesting_is_allowed_up_to_the_limit() {
    let nested = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        update(&format!(r#"{{"sql":"RETURN $a","vars":{{"a":{value}}}}}"#))
    };
    assert!(nested(MAX_JSON_DEPTH - 2).is_ok());
    assert!(matches!(nested(MAX_JSON_DEPTH - 1), Err(DecodeError::TooDeep { .. })));
}

#[test]
fn values_that_the_types_allow_are_still_checked() {
    for (body, field) in [
        (json!({"sql": " "}), "sql"),
        (json!({"sql": "RETURN 1", "id": ""}), "id"),
        (json!({"sql": "RETURN 1", "id": "a\nb"}), "id"),
        (json!({"sql": "RETURN 1", "ns": ""}), "ns"),
        (json!({"sql": "RETURN 1", "deadline_ms": 0}), "deadline_ms"),
        (json!({"sql": "RETURN 1", "deadline_ms": 60_001}), "deadline_ms"),
        (json!({"sql": "RETURN 1", "consistency": "session"}), "after"),
        (json!({"sql": "RETURN 1", "after": 1}), "after"),
        (json!({"sql": "RETURN 1", "consistency": "strong", "max_lag_ms": 1}), "max_lag_ms"),
        (json!({"sql": "RETURN 1", "affinity": ""}), "affinity"),
        (json!({"sql": "RETURN 1", "pool": "a.b"}), "pool"),
    ] {
        let error = query(body.clone()).unwrap_err();
        assert!(matches!(error, DecodeError::Refused { field: found, .. } if found == field), "{body}: {error}");
    }
    let session = query(json!({"sql": "RETURN 1", "consistency": "session", "after": 7})).unwrap();
    assert_eq!((session.consistency, session.after), (Consistency::Session, Some(7)));
}

#[test]
fn a_definition_is_read_strictly_in_a_request_and_leniently_elsewhere() {
    let definition = json!({"name": "shop", "csps": ["a"], "isolatoin": "snapshot"});
    let request = json!({ "definition": definition }).to_string();
    let error = GroupDefineRequest::decode(request.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("isolatoin"), "{error}");
    let stored = GroupDefinition::decode(definition.to_string().as_bytes()).unwrap();
    assert_eq!(stored, GroupDefinition::new("shop", ["a"]));
}

#[test]
fn what_a_definition_lists_is_read_strictly_too() {
    for (listed, misspelt) in [
        (json!({"pools": [{"name": "p", "csps": ["a"], "overflows": true}]}), "overflows"),
        (json!({"update_windows": {"windows": [{"from": "01:00", "until": "02:00"}], "outsid": "queue"}}), "outsid"),
        (json!({"update_windows": {"windows": [{"from": "01:00", "until": "02:00", "day": []}]}}), "day"),
    ] {
        let mut definition = json!({"name": "shop", "csps": ["a"]});
        definition.as_object_mut().unwrap().extend(listed.as_object().unwrap().clone());
        let request = json!({ "definition": definition }).to_string();
        let error = GroupDefineRequest::decode(request.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(misspelt), "{error}");
        assert!(GroupDefinition::decode(definition.to_string().as_bytes()).is_ok(), "stored ones are read leniently");
    }
}

#[test]
fn definitions_that_cannot_work_are_refused() {
    for (change, field) in [
        (json!({"name": "admin"}), "name"),
        (json!({"csps": []}), "csps"),
        (json!({"csps": ["a", "a"]}), "csps"),
        (json!({"csps": ["a.b"]}), "csps"),
        (json!({"ids_kept_ms": 1}), "ids_kept_ms"),
        (json!({"log_replicas": 2}), "log_replicas"),
        (json!({"pools": [{"name": "p", "csps": ["b"]}]}), "pools"),
        (json!({"update_windows": {"windows": []}}), "update_windows"),
    ] {
        let mut body = json!({"name": "shop", "csps": ["a"]});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let error = GroupDefinition::decode(body.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, DecodeError::Refused { field: found, .. } if found == field), "{body}: {error}");
    }
}

#[test]
fn an_unknown_rule_of_the_log_does_not_decode() {
    assert!(LogControl::decode(br#"{"kind":"epoch","epoch":2,"primary":"a"}"#).is_ok());
    assert!(LogControl::decode(br#"{"kind":"later","epoch":2}"#).is_err());
    let define = LogControl::Epoch { epoch: 2, primary: "a".to_owned() };
    assert_eq!(define.encode().first(), Some(&b'{'));
}

#[test]
fn an_answer_is_told_from_an_error() {
    let good = QueryReply { id: "a".to_owned(), position: 1, results: vec![] };
    assert_eq!(decode_reply::<QueryReply>(&good.encode()), Ok(Ok(good)));
    let bad = ErrorReply::new(Some("a".to_owned()), ErrorCode::Conflict, "again").at_statement(2);
    assert_eq!(decode_reply::<QueryReply>(&bad.encode()), Ok(Err(bad)));
    assert!(matches!(decode_reply::<QueryReply>(&StatusRequest {}.encode()), Err(DecodeError::WrongType { .. })));
}

#[test]
fn fields_of_later_versions_are_ignored_in_events() {
    let fixture = include_bytes!("../fixtures/v1/heartbeat.json");
    let mut later: Value = serde_json::from_slice(fixture).unwrap();
    later["mood"] = json!("good");
    assert_eq!(Heartbeat::decode(later.to_string().as_bytes()), Heartbeat::decode(fixture));
}

#[test]
fn the_type_is_found_wherever_it_stands() {
    assert_eq!(peek_type(br#"{"type":"a","b":1}"#).as_deref(), Some("a"));
    assert_eq!(peek_type(br#" {"b":[{"type":"x"}], "type" : "a"}"#).as_deref(), Some("a"));
    assert_eq!(peek_type(br#"{"type":"a\u0062"}"#).as_deref(), Some("ab"));
    assert_eq!(peek_type(br#"{"b":1}"#), None);
    assert_eq!(peek_type(b"nonsense"), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".*", inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn spliced_replies_are_the_typed_ones(
        id in ".{1,20}", position: u64, index: Option<u32>, replayed: Option<bool>,
        results in prop::collection::vec(any_json(), 0..4),
    ) {
        let raw = serde_json::to_vec(&results).unwrap();
        let update =
            UpdateReply { id: id.clone(), position, index, replayed, results_dropped: None, results: results.clone() };
        prop_assert_eq!(update_reply_bytes(&id, position, index, replayed, Results::Json(&raw)), update.encode());
        let dropped = ResultsDropped::new(position, 7);
        let bytes = update_reply_bytes(&id, position, index, replayed, Results::Dropped(&dropped));
        let update = UpdateReply { results_dropped: Some(dropped), results: Vec::new(), ..update };
        prop_assert_eq!(bytes, update.encode());
        let query = QueryReply { id: id.clone(), position, results };
        prop_assert_eq!(query_reply_bytes(&id, position, &raw), query.encode());
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = UpdateRequest::decode(&bytes);
        let _ = LogControl::decode(&bytes);
        let _ = decode_reply::<UpdateReply>(&bytes);
    }

    #[test]
    fn a_request_survives_the_wire(sql in "[a-z].{0,40}", vars in prop::option::of(prop::collection::hash_map(".*", any_json(), 0..3))) {
        let mut request = UpdateRequest::new(sql);
        request.vars = vars.map(|vars| vars.into_iter().collect());
        prop_assert_eq!(UpdateRequest::decode(&request.encode()), Ok(request));
    }
}

#[test]
fn what_was_written_before_a_field_was_there_says_nothing_of_it() {
    let state = json!({
        "type": "io.holdfast.supervision.v1.csp_state",
        "group": "shop", "csp": "a", "state": "suspect", "since_ms": 1, "cause": "gray: its storage fails",
    });
    let change = CspStateChange::decode(state.to_string().as_bytes()).unwrap();
    assert_eq!(change.doubt, None);
    assert_eq!(serde_json::from_slice::<Value>(&change.encode()).unwrap(), state);
    let held = json!({
        "type": "io.holdfast.execution.v1.assignment",
        "group": "shop", "task": "replication", "csp": "b", "epoch": 2, "since_ms": 1, "cause": "a is unavailable",
    });
    let assignment = Assignment::decode(held.to_string().as_bytes()).unwrap();
    assert_eq!(assignment.gray_epoch, None);
    assert_eq!(serde_json::from_slice::<Value>(&assignment.encode()).unwrap(), held);
    let definition = GroupDefinition::new("shop", ["a"]);
    assert_eq!(definition.supervision, SupervisionPolicy::default());
    assert!(
        !String::from_utf8(definition.encode()).unwrap().contains("supervision"),
        "the default goes without saying"
    );
}
