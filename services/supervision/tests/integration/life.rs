//! CSPs that die, hang, answer, and come back.

use crate::nats::PATIENCE;
use crate::scene::{Csp, Scene};
use futures::StreamExt;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use std::time::Duration;

/// A heartbeat is late after 125 ms; the rest is room for a busy machine.
const KILLED_JUDGED_WITHIN: Duration = Duration::from_millis(400);

/// Heartbeats missed after 500 ms, two time-outs of 200 ms, and the same room.
const HUNG_JUDGED_WITHIN: Duration = Duration::from_millis(1_400);

#[tokio::test]
async fn a_csp_that_dies_is_judged_at_once_and_welcomed_back() {
    let mut scene = Scene::start(&["a"], 1).await;
    let mut took = Vec::new();
    for _ in 0..2 {
        let csp = scene.csp(Csp::named("a")).await;
        scene.until_state("available").await;
        let killed = csp.kill().await;
        let written = scene.until_written("a", "unavailable").await;
        took.push(killed.elapsed());
        assert_eq!(written["cause"], "no responders", "{written}");
        let event = scene.next_event().await;
        assert_eq!(event, written, "the event is what is written, and no suspicion came before it");
    }
    eprintln!("killed, verdict in the bucket after {took:?}");
    assert!(took.iter().all(|took| *took < KILLED_JUDGED_WITHIN), "{took:?}");
    let _csp = scene.csp(Csp { state: "catching_up", incarnation: "2", ..Csp::named("a") }).await;
    let event = scene.next_event().await;
    assert_eq!((&event["state"], &event["incarnation"]), (&json!("catching_up"), &json!("2")));
}

#[tokio::test]
async fn a_csp_that_hangs_is_asked_before_it_is_unavailable() {
    let mut scene = Scene::start(&["a"], 1).await;
    let csp = scene.csp(Csp::named("a")).await;
    scene.until_state("available").await;
    let _hanging = scene.csp(Csp { beats: false, answers: false, ..Csp::named("a") }).await;
    let hung = csp.kill().await;
    let written = scene.until_written("a", "unavailable").await;
    let took = hung.elapsed();
    eprintln!("hung, verdict in the bucket after {took:?}");
    assert_eq!(written["cause"], "heartbeats missed and status request unanswered");
    assert!(took < HUNG_JUDGED_WITHIN, "{took:?}");
}

#[tokio::test]
async fn a_csp_that_answers_is_never_unavailable() {
    let mut scene = Scene::start(&["a"], 1).await;
    let csp = scene.csp(Csp::named("a")).await;
    scene.until_state("available").await;
    let answering = scene.csp(Csp { beats: false, ..Csp::named("a") }).await;
    csp.kill().await;
    scene.until_state("suspect").await;
    // It is asked again and again; the next thing that is told must be its return.
    let mut asked = scene.client.subscribe(subject::csp_status("g", "a")).await.unwrap();
    for _ in 0..2 {
        tokio::time::timeout(PATIENCE, asked.next()).await.expect("asked again").unwrap();
    }
    let _back = scene.csp(Csp::named("a")).await;
    assert_eq!(scene.next_event().await["state"], "available");
    answering.kill().await;
}

#[tokio::test]
async fn a_hint_has_the_csp_asked_at_once_and_condemns_nobody_who_answers() {
    let mut scene = Scene::start(&["a"], 1).await;
    let _csp = scene.csp(Csp::named("a")).await;
    scene.until_state("available").await;
    let mut asked = scene.client.subscribe(subject::csp_status("g", "a")).await.unwrap();
    scene.client.flush().await.unwrap();
    // A hint right behind another question is not followed, so it is said until it is.
    let hint = json!({"group": "g", "csp": "a", "evidence": "a request found nobody"});
    let says = async {
        loop {
            scene.say(subject::hint(), "hint", hint.clone()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = says => {}
        asked = tokio::time::timeout(PATIENCE, asked.next()) => assert!(asked.expect("it is asked").is_some()),
    }
    assert_eq!(scene.written("a").await["state"], "available");
}

#[tokio::test]
async fn a_gray_csp_is_suspect_with_the_reason() {
    let mut scene = Scene::start(&["a", "b"], 1).await;
    let failing = Csp { more: json!({"storage_error": "no space left on device"}), ..Csp::named("a") };
    let (_a, _b) = (scene.csp(failing).await, scene.csp(Csp::named("b")).await);
    let mut event = scene.until_state("suspect").await;
    while event["cause"] == "no heartbeat yet" {
        event = scene.until_state("suspect").await;
    }
    assert_eq!(event["csp"], "a");
    assert_eq!(event["cause"], "gray: its copy cannot be read or written: no space left on device");
    assert_eq!(event["doubt"], "gray");
}

#[tokio::test]
async fn a_restart_of_nats_condemns_nobody() {
    let mut scene = Scene::start(&["a", "b"], 2).await;
    let (_a, _b) = (scene.csp(Csp::named("a")).await, scene.csp(Csp::named("b")).await);
    scene.until_written("a", "available").await;
    scene.until_written("b", "available").await;
    let before = [scene.written("a").await, scene.written("b").await];
    scene.restart_nats();
    let mut opinions = scene.client.subscribe(subject::opinions()).await.unwrap();
    for _ in 0..30 {
        let word = tokio::time::timeout(PATIENCE, opinions.next()).await.expect("supervisors speak").unwrap();
        let opinion: Value = serde_json::from_slice(&word.payload).unwrap();
        assert_eq!(opinion["unavailable"], json!([]));
    }
    assert_eq!([scene.written("a").await, scene.written("b").await], before);
}
