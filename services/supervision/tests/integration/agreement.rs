//! Several supervisors, and those who lie.

use crate::nats::{PATIENCE, Process};
use crate::scene::{Csp, Scene};
use futures::StreamExt;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use std::time::Duration;

/// Two of three are a majority also while the third, which is dead, still counts: it takes no longer than with one.
const JUDGED_WITHIN: Duration = Duration::from_millis(400);

async fn lie(scene: &Scene, csp: &str) {
    let accusation = json!({"group": "g", "csp": csp, "incarnation": "1", "evidence": "a lie"});
    let opinion = json!({"instance": "liar", "unavailable": [accusation]});
    scene.say(subject::opinion("liar"), "opinion", opinion).await;
}

#[tokio::test]
async fn one_that_lies_causes_no_verdict_and_blocks_none() {
    let scene = Scene::start_patient(&["a", "b"], 2).await;
    let (_a, b) = (scene.csp(Csp::named("a")).await, scene.csp(Csp::named("b")).await);
    scene.until_written("a", "available").await;
    scene.until_written("b", "available").await;
    // The lie is told for as long as it takes the others to speak many times.
    let mut opinions = scene.client.subscribe(subject::opinions()).await.unwrap();
    for _ in 0..40 {
        lie(&scene, "a").await;
        let word = tokio::time::timeout(PATIENCE, opinions.next()).await.expect("supervisors speak").unwrap();
        let opinion: Value = serde_json::from_slice(&word.payload).unwrap();
        assert!(opinion["instance"] == "liar" || opinion["unavailable"] == json!([]), "{opinion}");
    }
    assert_eq!(scene.written("a").await["state"], "available");
    // And now it says nothing of one that is really dead.
    b.kill().await;
    lie(&scene, "a").await;
    let written = scene.until_written("b", "unavailable").await;
    assert_eq!(written["concurring"].as_array().map(Vec::len), Some(2), "{written}");
    assert_eq!(scene.written("a").await["state"], "available");
}

#[tokio::test]
async fn of_three_two_judge_when_one_is_dead() {
    let mut scene = Scene::start(&["a"], 3).await;
    let csp = scene.csp(Csp::named("a")).await;
    scene.until_state("available").await;
    scene.instances.remove(0).kill();
    let killed = csp.kill().await;
    let written = scene.until_written("a", "unavailable").await;
    let took = killed.elapsed();
    eprintln!("killed with one of three supervisors, verdict in the bucket after {took:?}");
    assert_eq!(written["concurring"].as_array().map(Vec::len), Some(2), "{written}");
    assert!(took < JUDGED_WITHIN, "{took:?}");
}

#[tokio::test]
async fn one_of_three_that_hears_nobody_else_condemns_nobody() {
    let mut scene = Scene::start(&["a"], 3).await;
    let csp = scene.csp(Csp::named("a")).await;
    scene.until_state("available").await;
    // As if it were cut off from the two others, who see that all is well: it cannot know.
    // Beside this thread, on which the CSP beats: it is well for as long as they live.
    let others: Vec<_> = scene.instances.drain(1..).collect();
    tokio::task::spawn_blocking(|| others.into_iter().for_each(Process::kill)).await.unwrap();
    // It speaks for longer than the dead have a voice, so what they said last counts no more.
    let mut opinions = scene.client.subscribe(subject::opinions()).await.unwrap();
    for _ in 0..10 {
        tokio::time::timeout(PATIENCE, opinions.next()).await.expect("it speaks").unwrap();
    }
    csp.kill().await;
    scene.until_written("a", "suspect").await;
    // It speaks many times more, and no verdict follows.
    for _ in 0..20 {
        tokio::time::timeout(PATIENCE, opinions.next()).await.expect("it speaks").unwrap();
    }
    assert_eq!(scene.written("a").await["state"], "suspect");
    // A second one makes a majority of three.
    scene.add_supervisor().await;
    let written = scene.until_written("a", "unavailable").await;
    assert_eq!(written["concurring"].as_array().map(Vec::len), Some(2), "{written}");
}

#[tokio::test]
async fn several_supervisors_tell_a_change_once_and_a_restarted_one_tells_nothing_old() {
    let mut scene = Scene::start(&["a"], 2).await;
    let csp = scene.csp(Csp::named("a")).await;
    scene.until_state("available").await;
    let since = scene.written("a").await["since_ms"].clone();
    scene.instances.remove(0).kill();
    scene.add_supervisor().await;
    csp.kill().await;
    let mut states = vec![scene.next_event().await["state"].clone()];
    while states.last() != Some(&json!("unavailable")) {
        states.push(scene.next_event().await["state"].clone());
    }
    assert!(!states.contains(&json!("available")), "available since {since} was told once: {states:?}");
    let status = scene.instances.remove(0).terminate().await;
    assert!(status.success(), "{status}");
}
