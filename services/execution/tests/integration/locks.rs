//! Locks on their way: to one CSP for each name, from a CSP that is gone to another, and past everybody who only works.

use crate::fake_csp::{Appearance, FakeCsp, Manner};
use crate::scene::{self, Scene};
use holdfast_schemas::subject;
use serde_json::{Value, json};

const PEER: Appearance =
    Appearance { incarnation: "i", state: "available", applied: 10, epoch: 0, primary: None, outstanding: 0 };

async fn send(scene: &Scene, verb: &str, body: &str) -> async_nats::Subscriber {
    let reply = scene.client.new_inbox();
    let inbox = scene.client.subscribe(reply.clone()).await.unwrap();
    scene.client.publish_with_reply(subject::lock("g", verb), reply, body.to_owned().into()).await.unwrap();
    inbox
}

async fn ask(scene: &Scene, verb: &str, body: &str) -> Value {
    scene::next(&mut send(scene, verb, body).await).await
}

/// Two peers, both known to execution.
async fn two_peers() -> (Scene, [FakeCsp; 2]) {
    let scene = Scene::start(&["a", "b"], "peer").await;
    let peers =
        [FakeCsp::start(&scene.server, "g", "a", PEER).await, FakeCsp::start(&scene.server, "g", "b", PEER).await];
    scene.until_csp("query", "a").await;
    scene.until_csp("query", "b").await;
    (scene, peers)
}

#[tokio::test]
async fn the_same_bytes_reach_the_primary_under_their_own_subject() {
    let scene = Scene::start(&["a", "b"], "primary").await;
    let _a = FakeCsp::start(&scene.server, "g", "a", Appearance::default()).await;
    let _b = FakeCsp::start(&scene.server, "g", "b", Appearance::default()).await;
    scene.until_csp("update", "a").await;
    for (verb, body) in [("acquire", r#"{ "name":"x" }"#), ("release", r#"{ "name":"x","token" : 7 }"#)] {
        let seen = ask(&scene, verb, body).await;
        assert_eq!((&seen["csp"], &seen["body"]), (&json!("a"), &json!(body)));
        assert_eq!(seen["verb"], format!("lock-{verb}"));
        assert_eq!(seen["headers"]["Holdfast-Id"].as_str().unwrap().len(), 26, "an id is given to it");
    }
    assert_eq!(ask(&scene, "list", "{}").await["verb"], "lock-list");
}

#[tokio::test]
async fn among_peers_a_name_has_its_csp() {
    let (scene, _peers) = two_peers().await;
    let mut seen = std::collections::BTreeSet::new();
    for name in 0..20 {
        let acquired = ask(&scene, "acquire", &json!({ "name": name.to_string() }).to_string()).await;
        let released = ask(&scene, "release", &json!({ "name": name.to_string(), "token": 7 }).to_string()).await;
        assert_eq!(acquired["csp"], released["csp"]);
        seen.insert(acquired["csp"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), 2, "names are spread");
}

#[tokio::test]
async fn bad_ones_are_refused_on_the_way() {
    let (scene, peers) = two_peers().await;
    let before = peers.each_ref().map(|peer| peer.seen().len());
    for (verb, body) in [("acquire", "{}"), ("acquire", r#"{"name":"x","lease_ms":1}"#), ("release", r#"{"name":"x"}"#)]
    {
        assert_eq!(ask(&scene, verb, body).await["error"]["code"], "invalid_request", "{body}");
    }
    assert_eq!(peers.each_ref().map(|peer| peer.seen().len()), before);
}

#[tokio::test]
async fn who_waits_at_a_csp_that_is_gone_waits_on_at_another() {
    let (scene, peers) = two_peers().await;
    let body = r#"{"id":"turn","name":"x","deadline_ms":60000}"#;
    for peer in &peers {
        peer.behave(Manner::Swallows);
    }
    let before = peers.each_ref().map(|peer| peer.seen().len());
    let mut inbox = send(&scene, "acquire", body).await;
    let place =
        crate::nats::until("it at a CSP", || (0..2).find(|place| peers[*place].seen().len() > before[*place])).await;
    let [a, b] = peers;
    let (holder, other) = if place == 0 { (a, b) } else { (b, a) };
    other.behave(Manner::Answers);
    holder.stop();
    let answer = scene::next(&mut inbox).await;
    assert_eq!(answer["body"], body);
    assert_eq!((&answer["verb"], &answer["headers"]["Holdfast-Id"]), (&json!("lock-acquire"), &json!("turn")));
    assert_eq!(answer["headers"]["Holdfast-Disposition"], "recovery");
}
