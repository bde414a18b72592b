//! Bad input as a table with stable codes, and agreement with the types of `schemas`.

use super::*;
use proptest::prelude::*;

fn refused(kind: Kind, body: &str) -> Refusal {
    match read(kind, body.as_bytes()) {
        Err(refusal) => refusal,
        Ok(request) => panic!("taken: {body} as {request:?}"),
    }
}

#[test]
fn good_requests_say_what_they_need() {
    let update = read(Kind::Update, br#"{"id":"x","sql":"CREATE a","vars":{"v":[1]},"deadline_ms":100}"#).unwrap();
    assert_eq!(
        update,
        Request {
            id: Some("x".to_owned()),
            deadline_ms: 100,
            need: Need::Update,
            affinity: None,
            pool: None,
            holder: None
        }
    );
    let cases = [
        (r#"{"sql":"s"}"#, Need::Any { max_lag_ms: None }),
        (r#"{"sql":"s","consistency":"any","max_lag_ms":5}"#, Need::Any { max_lag_ms: Some(5) }),
        (r#"{"sql":"s","max_lag_ms":5,"affinity":"k"}"#, Need::Any { max_lag_ms: Some(5) }),
        (r#"{"sql":"s","consistency":"session","after":9}"#, Need::Session { after: 9 }),
        (r#"{"sql":"s","consistency":"strong","type":"io.holdfast.execution.v1.query_request"}"#, Need::Strong),
    ];
    for (body, need) in cases {
        let request = read(Kind::Query, body.as_bytes()).unwrap();
        assert_eq!(
            (request.id, request.deadline_ms, request.need),
            (None, limits::DEFAULT_DEADLINE_MS, need),
            "{body}"
        );
    }
}

#[test]
fn a_key_is_the_same_number_however_it_is_written() {
    let affinity = |body: &str| read(Kind::Query, body.as_bytes()).unwrap().affinity;
    let plain = affinity(r#"{"sql":"s","affinity":"k"}"#);
    assert!(plain.is_some());
    assert_eq!(affinity(r#"{"sql":"s","affinity":"\u006b"}"#), plain);
    assert_ne!(affinity(r#"{"sql":"s","affinity":"l"}"#), plain);
    assert_eq!(affinity(r#"{"sql":"s"}"#), None);
}

#[test]
fn who_works_under_a_lock_meets_who_waits_for_it() {
    let affinity = |kind, body: &str| read(kind, body.as_bytes()).unwrap().affinity;
    let waits = affinity(Kind::Lock(LockVerb::Acquire), r#"{"name":"a"}"#);
    let locks = r#""locks":[{"name":"a","token":7},{"name":"b","token":8}]"#;
    assert_eq!(affinity(Kind::Update, &format!(r#"{{"sql":"s",{locks}}}"#)), waits);
    assert_eq!(affinity(Kind::Transaction(Verb::Begin), &format!("{{{locks}}}")), waits);
    assert_eq!(affinity(Kind::Update, r#"{"sql":"s","locks":[]}"#), None);
}

#[test]
fn a_query_may_name_its_pool() {
    let pool = |body: &str| read(Kind::Query, body.as_bytes()).unwrap().pool;
    assert_eq!(pool(r#"{"sql":"s","pool":"reports"}"#).as_deref(), Some("reports"));
    assert_eq!(pool(r#"{"sql":"s","pool":null}"#), None);
}

#[test]
fn updates_and_begins_are_what_begins_a_transaction() {
    let begins = [Kind::Update, Kind::Query].into_iter().chain(Verb::ALL.map(Kind::Transaction));
    let begins: Vec<_> = begins.filter(|kind| kind.begins_transaction()).collect();
    assert_eq!(begins, [Kind::Update, Kind::Transaction(Verb::Begin)]);
}

#[test]
fn bad_requests_are_refused_with_stable_codes() {
    let cases = [
        (Kind::Update, ""),
        (Kind::Update, "not json"),
        (Kind::Update, "[]"),
        (Kind::Update, "{}"),
        (Kind::Update, r#"{"sql":"s"} trailing"#),
        (Kind::Update, r#"{"sql":"s","sql":"t"}"#),
        (Kind::Update, r#"{"sql":"s","unknown":1}"#),
        (Kind::Update, r#"{"sql":"s","consistency":"any"}"#),
        (Kind::Update, r#"{"sql":1}"#),
        (Kind::Update, r#"{"sql":""}"#),
        (Kind::Update, r#"{"sql":null}"#),
        (Kind::Update, r#"{"sql":"s","vars":[]}"#),
        (Kind::Update, r#"{"sql":"s","id":""}"#),
        (Kind::Update, r#"{"sql":"s","id":7}"#),
        (Kind::Update, r#"{"sql":"s","id":"a\r\nHoldfast-Attempt: 9"}"#),
        (Kind::Update, r#"{"sql":"s","ns":""}"#),
        (Kind::Update, r#"{"sql":"s","deadline_ms":0}"#),
        (Kind::Update, r#"{"sql":"s","deadline_ms":-1}"#),
        (Kind::Update, r#"{"sql":"s","deadline_ms":60001}"#),
        (Kind::Update, r#"{"sql":"s","type":"io.holdfast.execution.v1.query_request"}"#),
        (Kind::Update, r#"{"sql":"s","locks":[{"name":"a"}]}"#),
        (Kind::Update, r#"{"sql":"s","locks":[{"name":"a","token":1},{"name":"a","token":2}]}"#),
        (Kind::Query, r#"{"sql":"s","locks":[{"name":"a","token":1}]}"#),
        (Kind::Transaction(Verb::Begin), r#"{"locks":[{"name":"","token":1}]}"#),
        (Kind::Query, r#"{"sql":"s","consistency":"eventual"}"#),
        (Kind::Query, r#"{"sql":"s","consistency":"session"}"#),
        (Kind::Query, r#"{"sql":"s","consistency":"session","after":-1}"#),
        (Kind::Query, r#"{"sql":"s","consistency":"session","after":1,"max_lag_ms":1}"#),
        (Kind::Query, r#"{"sql":"s","consistency":"strong","max_lag_ms":1}"#),
        (Kind::Query, r#"{"sql":"s","consistency":"strong","after":1}"#),
        (Kind::Query, r#"{"sql":"s","after":1}"#),
        (Kind::Query, r#"{"sql":"s","affinity":""}"#),
        (Kind::Query, r#"{"sql":"s","pool":""}"#),
        (Kind::Query, r#"{"sql":"s","pool":"a.b"}"#),
        (Kind::Update, r#"{"sql":"s","pool":"p"}"#),
    ];
    for (kind, body) in cases {
        let refusal = refused(kind, body);
        assert_eq!(refusal.code, ErrorCode::InvalidRequest, "{body}: {}", refusal.message);
        assert!(!refusal.message.is_empty());
    }
}

#[test]
fn a_refusal_bears_the_id_where_it_could_be_read() {
    assert_eq!(refused(Kind::Update, r#"{"id":"x","sql":1}"#).id.as_deref(), Some("x"));
    assert_eq!(refused(Kind::Update, r#"{"id":"not an id","sql":"s"}"#).id, None);
}

#[test]
fn size_and_depth_are_limited() {
    let large = format!(r#"{{"sql":"{}"}}"#, "x".repeat(limits::MAX_REQUEST_BYTES));
    assert_eq!(refused(Kind::Update, &large).code, ErrorCode::RequestTooLarge);
    let nested = |depth: usize| format!(r#"{{"sql":"s","vars":{{"v":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(read(Kind::Update, nested(limits::MAX_JSON_DEPTH - 2).as_bytes()).is_ok());
    assert!(refused(Kind::Update, &nested(limits::MAX_JSON_DEPTH - 1)).message.contains("nests"));
    assert!(refused(Kind::Update, &nested(100_000)).message.contains("nests"));
    let in_text = format!(r#"{{"sql":"\"{}"}}"#, "[".repeat(1_000));
    assert!(read(Kind::Update, in_text.as_bytes()).is_ok(), "brackets in text do not nest");
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("1".to_owned()),
        Just("0".to_owned()),
        Just("-3".to_owned()),
        Just("70000".to_owned()),
        Just("1.5".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just(r#""text""#.to_owned()),
        Just(r#""""#.to_owned()),
        Just(r#""session""#.to_owned()),
        Just(r#""strong""#.to_owned()),
        Just(r#""any""#.to_owned()),
        Just("[".to_owned()),
        Just(r#"[{"name":"a","token":7}]"#.to_owned()),
        Just(r#"[{"name":"a","token":7},{"name":"a","token":8}]"#.to_owned()),
        Just(r#"[{"name":"a b","token":7}]"#.to_owned()),
        Just(r#"[{"name":"a"}]"#.to_owned()),
    ]
}

fn body() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just("id"),
        Just("ns"),
        Just("db"),
        Just("vars"),
        Just("deadline_ms"),
        Just("consistency"),
        Just("after"),
        Just("max_lag_ms"),
        Just("affinity"),
        Just("locks"),
        Just("pool"),
        Just("type"),
        Just("other"),
    ];
    prop::collection::vec((field, value()), 0..4).prop_map(|fields| {
        let fields: String = fields.iter().map(|(name, value)| format!(r#","{name}":{value}"#)).collect();
        format!(r#"{{"sql":"s"{fields}}}"#)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// What is taken here is taken there, so that a CSP refuses for its own reasons only; and the other way round, so that
    /// nothing that the contract allows is refused on the way.
    #[test]
    fn agrees_with_the_types_of_the_contract(body in body()) {
        let update = read(Kind::Update, body.as_bytes()).is_ok();
        prop_assert_eq!(update, UpdateRequest::decode(body.as_bytes()).is_ok(), "update {}", body);
        let query = read(Kind::Query, body.as_bytes()).is_ok();
        prop_assert_eq!(query, QueryRequest::decode(body.as_bytes()).is_ok(), "query {}", body);
    }

    /// No bytes whatever bring it down.
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(Kind::Update, &body);
        let _ = read(Kind::Query, &body);
    }
}
