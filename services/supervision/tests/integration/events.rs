//! What is told, and what can be read later.

use crate::nats::PATIENCE;
use crate::scene::{Csp, Scene};
use async_nats::jetstream;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use std::time::Instant;

/// The last kept event of a kind, as soon as there is one that `wanted` accepts.
async fn kept(scene: &Scene, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let jetstream = jetstream::new(scene.client.clone());
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(stream) = jetstream.get_stream(subject::events_stream()).await
            && let Ok(event) = stream.get_last_raw_message_by_subject(&subject::event("g", kind)).await
        {
            let event = serde_json::from_slice(&event.payload).unwrap();
            if wanted(&event) {
                return event;
            }
        }
        assert!(Instant::now() < deadline, "no such event is kept");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_verdict_is_kept_with_its_evidence() {
    let mut scene = Scene::start(&["a"], 1).await;
    let csp = scene.csp(Csp::named("a")).await;
    scene.until_state("available").await;
    csp.kill().await;
    let event = kept(&scene, subject::EVENT_CSP_STATE, |event| event["state"] == "unavailable").await;
    assert_eq!(event["incarnation"], "1");
    assert_eq!(event["concurring"].as_array().map(Vec::len), Some(1));
    let evidence = event["evidence"].as_array().unwrap();
    assert!(evidence.contains(&json!("nobody listens for status requests")), "{event}");
    let jetstream = jetstream::new(scene.client.clone());
    let config = jetstream.get_stream(subject::events_stream()).await.unwrap().cached_info().config.clone();
    assert_eq!(config.storage, jetstream::stream::StorageType::File);
    assert_eq!(config.subjects, [subject::all_events()]);
}

#[tokio::test]
async fn a_node_whose_csps_vanish_together_is_one_event() {
    let names = ["a", "b", "c"];
    let mut scene = Scene::start_patient(&names, 3).await;
    let on_one_node = |name| Csp { node: "n", ..Csp::named(name) };
    let mut csps = Vec::new();
    for name in names {
        csps.push(scene.csp(on_one_node(name)).await);
        assert_eq!(scene.until_state("available").await["csp"], name);
    }
    for csp in csps {
        csp.kill().await;
    }
    let told = scene.next_event().await;
    assert_eq!(
        (&told["node"], &told["available"], &told["csps"]),
        (&json!("n"), &json!(false), &json!(names)),
        "{told}"
    );
    for name in names {
        scene.until_written(name, "unavailable").await;
    }
    // One of them returns: the node does, and then the CSP; nothing of the others was told in between.
    let _back = scene.csp(on_one_node("b")).await;
    let both = [scene.next_event().await, scene.next_event().await];
    let node = both.iter().find(|event| event["node"] == "n").expect("the node is told");
    assert_eq!(node["available"], true);
    assert!(both.iter().any(|event| event["csp"] == "b" && event["state"] == "available"), "{both:?}");
}

#[tokio::test]
async fn one_csp_of_a_node_is_told_as_itself() {
    let mut scene = Scene::start(&["a", "b"], 1).await;
    let on_one_node = |name| Csp { node: "n", ..Csp::named(name) };
    let a = scene.csp(on_one_node("a")).await;
    scene.until_state("available").await;
    let _b = scene.csp(on_one_node("b")).await;
    scene.until_state("available").await;
    a.kill().await;
    let event = scene.next_event().await;
    assert_eq!((&event["csp"], &event["state"]), (&json!("a"), &json!("unavailable")));
}
