//! Execution as a process, beside a real nats-server and CSPs that only say what reached them.

mod assignment;
mod fake_csp;
mod locks;
mod log_csp;
mod nats;
mod recovery;
mod routing;
mod scene;
mod stage;

use fake_csp::{Appearance, FakeCsp};
use holdfast_foundation::clock::since_boot_ms;
use holdfast_schemas::header::TimeLeft;
use scene::Scene;
use serde_json::{Value, json};

#[tokio::test]
async fn forwards_the_same_bytes_with_the_clients_reply_subject_and_headers() {
    let scene = Scene::start(&["a"], "primary").await;
    let _csp = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let body = r#"{ "id":"the-id", "sql" : "CREATE x SET n = $n", "vars":{"n" :  1.50} }"#;
    let mut inbox = scene.client.subscribe("_INBOX.mine").await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Traceparent", "00-abc");
    headers.insert("Holdfast-Attempt", "77");
    let subject = holdfast_schemas::subject::update("g");
    scene.client.publish_with_reply_and_headers(subject, "_INBOX.mine", headers, body.into()).await.unwrap();
    let seen = scene::next(&mut inbox).await;
    assert_eq!(seen["body"], body);
    assert_eq!(seen["reply"], "_INBOX.mine");
    assert_eq!(seen["verb"], "update");
    assert_eq!(seen["headers"]["Traceparent"], "00-abc");
    for left_out in ["Holdfast-Id", "Holdfast-Attempt", "Holdfast-Disposition"] {
        assert_eq!(seen["headers"][left_out], Value::Null, "{left_out} goes without saying");
    }
    let (instance, number) = seen["headers"]["Holdfast-Route"].as_str().unwrap().split_once(':').unwrap();
    assert_eq!(instance.len(), 26);
    assert!(number.parse::<u64>().is_ok());
    // Nearly all of its time is left when it is sent, and when that is, is said by the clock of the CSP.
    let time_left = TimeLeft::parse(seen["headers"]["Holdfast-Time-Left"].as_str().unwrap()).unwrap();
    let sent_at = time_left.sent_at.unwrap();
    assert!((4_000..=5_000).contains(&time_left.left_ms), "{} ms are left", time_left.left_ms);
    assert_eq!(sent_at.incarnation, "i");
    let lain_ms = since_boot_ms().checked_sub(sent_at.clock_ms).unwrap();
    assert!(lain_ms < 2_000, "it was sent {lain_ms} ms ago");
}

#[tokio::test]
async fn gives_an_id_to_a_request_that_has_none() {
    let scene = Scene::start(&["a"], "primary").await;
    let _csp = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let first = scene.ask("query", r#"{"sql":"SELECT 1"}"#).await;
    let second = scene.ask("query", r#"{"sql":"SELECT 1"}"#).await;
    assert_eq!(first["headers"]["Holdfast-Id"].as_str().unwrap().len(), 26);
    assert_ne!(first["headers"]["Holdfast-Id"], second["headers"]["Holdfast-Id"]);
}

#[tokio::test]
async fn bad_input_is_answered_with_stable_codes_and_harms_nobody() {
    let scene = Scene::start(&["a"], "primary").await;
    let _csp = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let deep = format!(r#"{{"sql":"s","vars":{{"v":{}}}}}"#, "[".repeat(500) + &"]".repeat(500));
    let large = format!(r#"{{"sql":"{}"}}"#, "x".repeat(1_000_000));
    let cases: [(&str, &str, &str); 12] = [
        ("update", "", "invalid_request"),
        ("update", "this is not json", "invalid_request"),
        ("update", "{}", "invalid_request"),
        ("update", r#"{"sql":"s","nonsense":1}"#, "invalid_request"),
        ("update", r#"{"sql":7}"#, "invalid_request"),
        ("update", r#"{"sql":"s","consistency":"strong"}"#, "invalid_request"),
        ("update", r#"{"sql":"s","deadline_ms":99999999}"#, "invalid_request"),
        ("query", r#"{"sql":"s","consistency":"eventual"}"#, "invalid_request"),
        ("query", r#"{"sql":"s","consistency":"session"}"#, "invalid_request"),
        ("query", r#"{"sql":"s","consistency":"strong","max_lag_ms":3}"#, "invalid_request"),
        ("update", &deep, "invalid_request"),
        ("update", &large, "request_too_large"),
    ];
    for (verb, body, code) in cases {
        let answer = scene.ask(verb, body).await;
        let start = body.get(..60).unwrap_or(body);
        assert_eq!(answer["type"], "io.holdfast.foundation.v1.error_reply", "{start}");
        assert_eq!(answer["error"]["code"], code, "{start}");
        assert_eq!(answer["error"]["retryable"], false, "{start}");
    }
    assert_eq!(scene.ask("update", r#"{"id":"x","sql":""}"#).await["id"], "x");
    assert_eq!(scene.ask("update", r#"{"sql":"CREATE a"}"#).await["csp"], "a");
}

#[tokio::test]
async fn a_position_from_the_future_is_the_csps_to_wait_for() {
    let scene = Scene::start(&["a"], "primary").await;
    let _csp = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let seen = scene.ask("query", r#"{"sql":"s","consistency":"session","after":999999}"#).await;
    assert_eq!(seen["csp"], "a");
}

#[tokio::test]
async fn an_unknown_group_is_said_with_the_groups_that_there_are() {
    let scene = Scene::start(&["a"], "primary").await;
    let answer = scene.ask_group("other", "update", r#"{"sql":"s"}"#).await;
    assert_eq!(answer["error"]["code"], "unknown_group");
    assert!(answer["error"]["message"].as_str().unwrap().ends_with("known groups: g"), "{answer}");
}

#[tokio::test]
async fn a_group_can_be_used_as_soon_as_it_is_defined() {
    let scene = Scene::start(&["a"], "primary").await;
    let _csp =
        FakeCsp::start(&scene.server, "new", "n", Appearance { primary: Some("n"), ..Appearance::default() }).await;
    scene.define("new", &["n"], "primary").await;
    let answer = scene.ask_group("new", "update", r#"{"sql":"s"}"#).await;
    assert_eq!(answer["csp"], "n", "{answer}");
}

#[tokio::test]
async fn before_the_first_group_is_defined_it_says_so() {
    let scene = Scene::without_groups().await;
    let answer = scene.ask("update", r#"{"sql":"s"}"#).await;
    assert_eq!(answer["error"]["code"], "unknown_group");
    assert!(answer["error"]["message"].as_str().unwrap().contains("no group is defined yet"), "{answer}");
    scene.define("g", &["a"], "primary").await;
    let _csp = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    assert_eq!(scene.ask("update", r#"{"sql":"s"}"#).await["csp"], "a");
}

#[tokio::test]
async fn updates_follow_the_primary_of_the_highest_epoch() {
    let scene = Scene::start(&["a", "b"], "primary").await;
    let _a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let b = FakeCsp::start(&scene.server, "g", "b", Appearance::default()).await;
    for _ in 0..20 {
        assert_eq!(scene.ask("update", r#"{"sql":"s"}"#).await["csp"], "a");
    }
    b.appear(Appearance { epoch: 2, primary: Some("b"), ..Appearance::default() });
    scene.until_csp("update", "b").await;
    for _ in 0..20 {
        assert_eq!(scene.ask("update", r#"{"sql":"s"}"#).await["csp"], "b", "a names an older epoch");
    }
}

#[tokio::test]
async fn peer_updates_and_queries_are_shared() {
    let scene = Scene::start(&["a", "b", "c"], "peer").await;
    let appearance = Appearance { primary: None, epoch: 0, ..Appearance::default() };
    let mut csps = Vec::new();
    for name in ["a", "b", "c"] {
        csps.push(FakeCsp::start(&scene.server, "g", name, appearance.clone()).await);
        scene.until_csp("query", name).await;
    }
    for verb in ["update", "query"] {
        let mut shares = std::collections::BTreeMap::<String, u32>::new();
        for _ in 0..90 {
            let answer = scene.ask(verb, r#"{"sql":"s"}"#).await;
            *shares.entry(answer["csp"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert!(shares.len() == 3 && shares.values().all(|share| *share >= 10), "{verb}: {shares:?}");
    }
}

#[tokio::test]
async fn without_a_csp_it_waits_and_then_says_unavailable() {
    let scene = Scene::start(&["a"], "primary").await;
    let answer = scene.ask("update", r#"{"id":"x","sql":"s","deadline_ms":300}"#).await;
    assert_eq!(answer["error"]["code"], "unavailable");
    assert_eq!(answer["error"]["retryable"], true);
    assert_eq!(answer["id"], "x");
    let waiting = scene.ask("update", r#"{"sql":"s"}"#);
    let (answer, _csp) = tokio::join!(waiting, FakeCsp::start(&scene.server, "g", "a", Appearance::default()));
    assert_eq!(answer["csp"], "a", "a request that waits is sent when the CSP comes: {answer}");
}

#[tokio::test]
async fn a_silent_or_draining_csp_gets_nothing() {
    let scene = Scene::start(&["a", "b"], "peer").await;
    let a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let b = FakeCsp::start(&scene.server, "g", "b", Appearance::default()).await;
    scene.until_csp("query", "a").await;
    scene.until_csp("query", "b").await;
    a.appear(Appearance { state: "draining", ..Appearance::default() });
    scene.until_only("query", "b").await;
    a.appear(Appearance::default());
    scene.until_csp("query", "a").await;
    b.stop();
    scene.until_only("query", "a").await;
}

#[tokio::test]
async fn a_restarted_or_killed_instance_is_missed_by_nobody() {
    let mut scene = Scene::start(&["a"], "primary").await;
    let _csp = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    assert_eq!(scene.ask("update", r#"{"sql":"s"}"#).await["csp"], "a");
    scene.kill();
    scene.start_execution().await;
    assert_eq!(scene.ask("update", r#"{"sql":"s"}"#).await["csp"], "a");
    scene.start_execution().await;
    let status = scene.terminate().await;
    assert!(status.success(), "{status}");
    for _ in 0..10 {
        assert_eq!(scene.ask("update", r#"{"sql":"s"}"#).await["csp"], "a");
    }
}

#[tokio::test]
async fn instances_share_requests_and_answer_each_once() {
    let mut scene = Scene::start(&["a"], "primary").await;
    scene.start_execution().await;
    let _csp = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    let mut inbox = scene.client.subscribe("_INBOX.all").await.unwrap();
    for number in 0..200 {
        let body = json!({"id": number.to_string(), "sql": "s"}).to_string();
        let subject = holdfast_schemas::subject::update("g");
        scene.client.publish_with_reply(subject, "_INBOX.all", body.into()).await.unwrap();
    }
    let mut ids: Vec<Value> = Vec::new();
    for _ in 0..200 {
        ids.push(scene::next(&mut inbox).await["body"].clone());
    }
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

#[tokio::test]
async fn it_is_seen_by_nats_micro() {
    let scene = Scene::without_groups().await;
    let info = scene.client.request("$SRV.INFO.holdfast-execution", "".into()).await.unwrap();
    let info: Value = serde_json::from_slice(&info.payload).unwrap();
    assert_eq!(info["name"], "holdfast-execution");
}
