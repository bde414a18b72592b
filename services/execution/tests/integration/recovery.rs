//! CSPs that die, hang, return requests or lose notes: the client gets its answer from another one, and never an error that
//! could be spared.

use crate::fake_csp::{Appearance, FakeCsp, Manner};
use crate::nats::until;
use crate::scene::{self, Scene};
use futures::StreamExt;
use holdfast_schemas::header::TimeLeft;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Less than it takes to miss heartbeats: what happens sooner was noticed by other means.
const SOON: Duration = Duration::from_millis(400);

const PEER: Appearance =
    Appearance { incarnation: "i", state: "available", applied: 10, epoch: 0, primary: None, outstanding: 0 };

/// Two peers, both known to execution.
async fn two_peers() -> (Scene, FakeCsp, FakeCsp) {
    let scene = Scene::start(&["a", "b"], "peer").await;
    let a = FakeCsp::start(&scene.server, "g", "a", PEER).await;
    let b = FakeCsp::start(&scene.server, "g", "b", PEER).await;
    scene.until_csp("query", "a").await;
    scene.until_csp("query", "b").await;
    (scene, a, b)
}

/// A request that has reached a CSP which behaves like this, with the answer under way; that CSP first, then the other.
async fn at_one_of(scene: &Scene, peers: [FakeCsp; 2], manner: Manner, body: &str) -> (Inbox, FakeCsp, FakeCsp) {
    for peer in &peers {
        peer.behave(manner);
    }
    let before = peers.each_ref().map(|peer| peer.seen().len());
    let inbox = send(scene, "update", body).await;
    let first = until("a request at a CSP", || (0..2).find(|place| peers[*place].seen().len() > before[*place])).await;
    let [a, b] = peers;
    let (holder, other) = if first == 0 { (a, b) } else { (b, a) };
    other.behave(Manner::Answers);
    (inbox, holder, other)
}

type Inbox = async_nats::Subscriber;

async fn send(scene: &Scene, verb: &str, body: &str) -> Inbox {
    let reply = scene.client.new_inbox();
    let inbox = scene.client.subscribe(reply.clone()).await.unwrap();
    let to = if verb == "update" { subject::update("g") } else { subject::query("g") };
    scene.client.publish_with_reply(to, reply, body.to_owned().into()).await.unwrap();
    inbox
}

fn header<'a>(seen: &'a Value, name: &str) -> &'a Value {
    &seen["headers"][name]
}

#[tokio::test]
async fn a_csp_that_vanishes_costs_a_short_pause() {
    let (scene, a, b) = two_peers().await;
    let mut hints = scene.client.subscribe(subject::hint()).await.unwrap();
    let body = r#"{"id":"the-id","sql":"s"}"#;
    let (mut inbox, holder, _other) = at_one_of(&scene, [a, b], Manner::Swallows, body).await;
    let first = holder.seen().last().cloned().unwrap();
    let vanished = Instant::now();
    holder.stop();
    let answer = scene::next(&mut inbox).await;
    let pause = vanished.elapsed();
    println!("the pause was {pause:?}");
    assert!(pause < SOON, "{pause:?}");
    assert_ne!(answer["csp"], first["csp"]);
    assert_eq!(answer["body"], body);
    assert_eq!(header(&answer, "Holdfast-Id"), "the-id");
    assert_eq!(header(&answer, "Holdfast-Attempt"), "2");
    assert_eq!(header(&answer, "Holdfast-Disposition"), "recovery");
    let left_ms = |seen| TimeLeft::parse(header(seen, "Holdfast-Time-Left").as_str().unwrap()).unwrap().left_ms;
    assert!(left_ms(&answer) < left_ms(&first), "less is left at the second sending");
    assert_ne!(header(&answer, "Holdfast-Route"), header(&first, "Holdfast-Route"));
    let hint = scene::next(&mut hints).await;
    assert_eq!((&hint["group"], &hint["csp"]), (&json!("g"), &first["csp"]));
}

#[tokio::test]
async fn no_request_fails_while_one_of_two_dies() {
    let (scene, a, _b) = two_peers().await;
    let mut a = Some(a);
    let mut longest = Duration::ZERO;
    for number in 0..200 {
        if number == 50 {
            a.take().unwrap().stop();
        }
        let asked = Instant::now();
        let answer = scene.ask("query", r#"{"sql":"s"}"#).await;
        longest = longest.max(asked.elapsed());
        assert!(answer["csp"].is_string(), "{answer}");
    }
    println!("the longest request took {longest:?}");
    assert!(longest < SOON, "{longest:?}");
}

#[tokio::test]
async fn a_returned_request_goes_to_another_csp() {
    for (code, disposition) in [("shutting_down", Value::Null), ("outcome_unknown", json!("recovery"))] {
        let (scene, a, _b) = two_peers().await;
        a.behave(Manner::Returns(code));
        let before = a.seen().len();
        let mut answer = Value::Null;
        while a.seen().len() == before {
            answer = scene.ask("update", r#"{"sql":"s"}"#).await;
            assert_eq!(answer["csp"], "b");
        }
        assert_eq!(header(&answer, "Holdfast-Attempt"), "2");
        assert_eq!(header(&answer, "Holdfast-Disposition"), &disposition, "{code}");
        assert_eq!(header(&answer, "Holdfast-Id"), header(a.seen().last().unwrap(), "Holdfast-Id"));
    }
}

#[tokio::test]
async fn a_request_that_only_one_can_take_comes_back_to_it() {
    let scene = Scene::start(&["a"], "primary").await;
    let a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    let before = a.seen().len();
    a.behave(Manner::Returns("not_primary"));
    let mut inbox = send(&scene, "update", r#"{"sql":"s"}"#).await;
    a.until_seen(before + 3).await;
    a.behave(Manner::Answers);
    let answer = scene::next(&mut inbox).await;
    assert_eq!(header(&answer, "Holdfast-Disposition"), &Value::Null);
}

#[tokio::test]
async fn a_lost_note_costs_a_recovery_under_the_same_id() {
    let scene = Scene::start(&["a"], "primary").await;
    let a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    let before = a.seen().len();
    a.behave(Manner::ForgetsToNote);
    let answer = scene.ask("update", r#"{"id":"once","sql":"s"}"#).await;
    assert_eq!(header(&answer, "Holdfast-Id"), &Value::Null, "the body has it");
    a.behave(Manner::Answers);
    a.appear(Appearance { incarnation: "j", ..Appearance::default() });
    let again = a.until_seen(before + 2).await;
    assert_eq!(header(&again, "Holdfast-Id"), "once");
    assert_eq!(header(&again, "Holdfast-Disposition"), "recovery");
    assert_eq!(again["body"], answer["body"]);
}

#[tokio::test]
async fn what_nobody_settles_by_the_deadline_is_said_to_be_unknown() {
    let scene = Scene::start(&["a"], "primary").await;
    let a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    a.behave(Manner::Swallows);
    let answer = scene.ask("update", r#"{"id":"x","sql":"s","deadline_ms":200}"#).await;
    assert_eq!(answer["error"]["code"], "outcome_unknown", "{answer}");
    assert_eq!((&answer["id"], &answer["error"]["retryable"]), (&json!("x"), &json!(true)));
    assert!(answer["error"]["message"].as_str().unwrap().contains("under the same id"), "{answer}");
    let answer = scene.ask("query", r#"{"sql":"s","deadline_ms":200}"#).await;
    assert_eq!(answer["error"]["code"], "deadline_exceeded", "{answer}");
}

#[tokio::test]
async fn updates_of_a_killed_primary_go_to_the_next_one() {
    let scene = Scene::start(&["a", "b"], "primary").await;
    let a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let b = FakeCsp::start(&scene.server, "g", "b", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    scene.until_csp("query", "b").await;
    let before = a.seen().len();
    a.behave(Manner::Swallows);
    let mut open = send(&scene, "update", r#"{"id":"open","sql":"s"}"#).await;
    a.until_seen(before + 1).await;
    let mut hints = scene.client.subscribe(subject::hint()).await.unwrap();
    scene.client.flush().await.unwrap();
    a.stop();
    scene::next(&mut hints).await;
    let mut new = send(&scene, "update", r#"{"id":"new","sql":"s"}"#).await;
    b.appear(Appearance { epoch: 2, primary: Some("b"), ..Appearance::default() });
    let open = scene::next(&mut open).await;
    assert_eq!((&open["csp"], header(&open, "Holdfast-Disposition")), (&json!("b"), &json!("recovery")));
    let new = scene::next(&mut new).await;
    assert_eq!((&new["csp"], header(&new, "Holdfast-Disposition")), (&json!("b"), &Value::Null));
}

#[tokio::test]
async fn an_update_without_a_new_primary_is_unknown_or_unavailable() {
    let scene = Scene::start(&["a", "b"], "primary").await;
    let a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let _b = FakeCsp::start(&scene.server, "g", "b", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    let before = a.seen().len();
    a.behave(Manner::Swallows);
    let mut hints = scene.client.subscribe(subject::hint()).await.unwrap();
    let mut open = send(&scene, "update", r#"{"sql":"s","deadline_ms":500}"#).await;
    a.until_seen(before + 1).await;
    a.stop();
    scene::next(&mut hints).await;
    let never_sent = scene.ask("update", r#"{"sql":"s","deadline_ms":300}"#).await;
    assert_eq!(never_sent["error"]["code"], "unavailable", "{never_sent}");
    assert_eq!(scene::next(&mut open).await["error"]["code"], "outcome_unknown");
}

#[tokio::test]
async fn a_verdict_of_supervision_moves_requests_at_once() {
    let (scene, a, b) = two_peers().await;
    let (mut inbox, holder, _other) = at_one_of(&scene, [a, b], Manner::Hangs, r#"{"sql":"s"}"#).await;
    let csp = holder.seen().last().unwrap()["csp"].clone();
    let verdict = json!({
        "type": "io.holdfast.supervision.v1.csp_state",
        "group": "g", "csp": csp, "state": "unavailable", "since_ms": 1, "cause": "c", "incarnation": "i",
    });
    let told = Instant::now();
    let event = subject::event("g", subject::EVENT_CSP_STATE);
    scene.client.publish(event, verdict.to_string().into()).await.unwrap();
    let answer = scene::next(&mut inbox).await;
    assert!(told.elapsed() < SOON, "{:?}", told.elapsed());
    assert_ne!(answer["csp"], csp);
    assert_eq!(header(&answer, "Holdfast-Disposition"), "recovery");
}

#[tokio::test]
async fn a_hung_csp_loses_its_requests_when_its_heartbeats_are_missing() {
    let (scene, a, b) = two_peers().await;
    let (mut inbox, holder, _other) = at_one_of(&scene, [a, b], Manner::Hangs, r#"{"sql":"s"}"#).await;
    let answer = scene::next(&mut inbox).await;
    assert_ne!(answer["csp"], holder.seen().last().unwrap()["csp"]);
    assert_eq!(header(&answer, "Holdfast-Disposition"), "recovery");
}

#[tokio::test]
async fn a_slow_request_is_left_where_it_is() {
    let (scene, a, b) = two_peers().await;
    let body = r#"{"sql":"s","deadline_ms":600}"#;
    let (mut inbox, holder, other) = at_one_of(&scene, [a, b], Manner::Swallows, body).await;
    let before = other.seen().len();
    let answer = scene::next(&mut inbox).await;
    assert_eq!(answer["error"]["code"], "outcome_unknown", "{answer}");
    assert_eq!(other.seen().len(), before, "its CSP answers questions, so it is not taken away");
    drop(holder);
}

#[tokio::test]
async fn a_primary_that_drains_gets_updates_and_nothing_else() {
    let scene = Scene::start(&["a", "b"], "primary").await;
    let a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let _b = FakeCsp::start(&scene.server, "g", "b", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    a.appear(Appearance { state: "draining", ..Appearance::default() });
    scene.until_only("query", "b").await;
    for _ in 0..20 {
        assert_eq!(scene.ask("update", r#"{"sql":"s"}"#).await["csp"], "a");
    }
}

#[tokio::test]
async fn affinity_keys_stick_to_one_copy() {
    let scene = Scene::start(&["a", "b", "c"], "peer").await;
    let mut csps = std::collections::HashMap::new();
    for name in ["a", "b", "c"] {
        csps.insert(name, FakeCsp::start(&scene.server, "g", name, PEER).await);
        scene.until_csp("query", name).await;
    }
    let ask = async |key: u32| {
        let answer = scene.ask("query", &json!({ "sql": "s", "affinity": key.to_string() }).to_string()).await;
        answer["csp"].as_str().unwrap().to_owned()
    };
    let mut homes = Vec::new();
    for key in 0..30 {
        homes.push(ask(key).await);
    }
    for (key, home) in (0..30).zip(&homes) {
        assert_eq!(ask(key).await, *home);
    }
    let gone = homes[0].clone();
    csps.remove(gone.as_str()).unwrap().stop();
    for (key, home) in (0..30).zip(&homes) {
        let now = ask(key).await;
        assert!(if *home == gone { now != gone } else { now == *home }, "key {key}: from {home} to {now}");
    }
}

#[tokio::test]
async fn beyond_the_bound_it_says_overloaded_and_when_to_come_back() {
    let mut scene = Scene::without_execution(&["a"], "primary").await;
    let settings = [("HOLDFAST_EXECUTION__OPEN_REQUESTS_MAX", "3"), ("HOLDFAST_EXECUTION__CSP_OPEN_MAX", "2")];
    scene.start_execution_with(&settings).await;
    let a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    a.behave(Manner::Swallows);
    let before = a.seen().len();
    let mut held = Vec::new();
    while a.seen().len() < before + 2 {
        assert!(held.len() < 100, "the CSP is full before it has two requests");
        let mut inbox = send(&scene, "update", r#"{"sql":"s"}"#).await;
        // It is swallowed, or refused because the note of an earlier request is still under way.
        let _ = tokio::time::timeout(Duration::from_millis(50), inbox.next()).await;
        held.push(inbox);
    }
    let answer = scene.ask("update", r#"{"sql":"s"}"#).await;
    assert_eq!(answer["error"]["code"], "overloaded", "{answer}");
    assert_eq!(answer["error"]["retryable"], true);
    assert!(answer["error"]["retry_after_ms"].as_u64().unwrap() > 0, "{answer}");
}

#[tokio::test]
async fn at_the_end_it_recovers_what_is_open_before_it_goes() {
    let (mut scene, a, b) = two_peers().await;
    let (mut inbox, holder, other) = at_one_of(&scene, [a, b], Manner::Swallows, r#"{"sql":"s"}"#).await;
    let gone = holder.seen().last().unwrap()["csp"].clone();
    let ends = scene.terminate();
    let recovered = async {
        // Only after the wish to stop.
        holder.stop();
        scene::next(&mut inbox).await
    };
    let (status, answer) = tokio::join!(ends, recovered);
    assert!(status.success(), "{status}");
    assert_ne!(answer["csp"], gone);
    drop(other);
}
