//! Pools and update windows of a definition, taken up while the service runs.

use crate::fake_csp::{Appearance, FakeCsp};
use crate::nats::PATIENCE;
use crate::scene::{Scene, now_ms};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Asks until the answer is as wanted.
async fn until(scene: &Scene, verb: &str, body: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = scene.ask(verb, body).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "last {answer}");
    }
}

#[tokio::test]
async fn a_pool_is_known_as_soon_as_it_is_defined() {
    let scene = Scene::start(&["a", "b"], "peer").await;
    let _a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let _b = FakeCsp::start(&scene.server, "g", "b", Appearance::default()).await;
    scene.until_csp("query", "a").await;
    scene.until_csp("query", "b").await;
    let query = r#"{"sql":"s","pool":"p","deadline_ms":1000}"#;
    let unknown = scene.ask("query", query).await;
    assert_eq!((&unknown["error"]["code"], &unknown["error"]["retryable"]), (&json!("not_found"), &json!(false)));
    let pools = json!({"pools": [{"name": "p", "csps": ["b"]}, {"name": "q", "csps": ["a"]}]});
    scene.define_with("g", &["a", "b"], "peer", pools).await;
    until(&scene, "query", query, |answer| answer["csp"] == "b").await;
    for _ in 0..20 {
        assert_eq!(scene.ask("query", query).await["csp"], "b");
    }
    let unknown = scene.ask("query", r#"{"sql":"s","pool":"r"}"#).await;
    assert!(unknown["error"]["message"].as_str().unwrap().ends_with("its pools are: p, q"), "{unknown}");
}

#[tokio::test]
async fn updates_are_refused_outside_of_all_windows_and_queries_are_not() {
    let scene = Scene::start(&["a"], "primary").await;
    let _a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    // Open for a minute, twelve hours from now.
    let minute = (now_ms() / 60_000 + 12 * 60) % (24 * 60);
    let time = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let window = json!({"from": time(minute), "until": time((minute + 1) % (24 * 60))});
    scene.define_with("g", &["a"], "primary", json!({"update_windows": {"windows": [window]}})).await;
    let update = r#"{"sql":"s"}"#;
    let refusal = until(&scene, "update", update, |answer| answer["error"]["code"] == "outside_update_window").await;
    let wait_ms = refusal["error"]["retry_after_ms"].as_u64().unwrap();
    assert!((11 * 3_600_000..=12 * 3_600_000).contains(&wait_ms), "{refusal}");
    assert!(refusal["error"]["message"].as_str().unwrap().contains(&format!("T{}:00Z", time(minute))), "{refusal}");
    assert_eq!(scene.ask("query", update).await["csp"], "a");
    scene.define("g", &["a"], "primary").await;
    until(&scene, "update", update, |answer| answer["csp"] == "a").await;
}
