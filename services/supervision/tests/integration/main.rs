//! Supervision as a process, beside a real nats-server and CSPs that only say that they live.

#[path = "../../../execution/tests/integration/nats.rs"]
mod nats;

use async_nats::jetstream::{self, kv};
use futures::StreamExt;
use holdfast_schemas::subject;
use nats::{NatsServer, PATIENCE, Process};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;

const BINARY: &str = env!("CARGO_BIN_EXE_holdfast-supervision");

struct Scene {
    server: NatsServer,
    client: async_nats::Client,
    instances: Vec<Process>,
    events: async_nats::Subscriber,
}

impl Scene {
    /// Group `g` with CSP `a`, and that many supervisors.
    async fn start(instances: usize) -> Self {
        let server = NatsServer::start().await;
        let client = server.connect().await;
        let config = kv::Config { bucket: subject::definitions_bucket(), ..kv::Config::default() };
        let bucket = jetstream::new(client.clone()).create_key_value(config).await.unwrap();
        let definition = json!({
            "type": "io.holdfast.administration.v1.group_definition",
            "name": "g", "csps": ["a"], "replication": "primary", "isolation": "serializable", "storage": "mem",
            "ids_kept_ms": 600_000, "log_replicas": 1,
        });
        bucket.put("g", definition.to_string().into()).await.unwrap();
        let events = client.subscribe(subject::event("g", subject::EVENT_CSP_STATE)).await.unwrap();
        client.flush().await.unwrap();
        let mut scene = Self { server, client, instances: Vec::new(), events };
        for _ in 0..instances {
            scene.add_supervisor().await;
        }
        scene
    }

    async fn add_supervisor(&mut self) {
        self.instances.push(Process::start(BINARY, &self.server, &[]).await);
    }

    /// A CSP on a connection of its own that beats, and answers status requests if `answers`.
    async fn csp(&self, state: &'static str, beats: bool, answers: bool) -> JoinHandle<()> {
        let client = self.server.connect().await;
        let mut requests = client.subscribe(subject::csp_status("g", "a")).await.unwrap();
        client.flush().await.unwrap();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            loop {
                tokio::select! {
                    Some(request) = requests.next(), if answers => {
                        client.publish(request.reply.unwrap(), status(state).to_string().into()).await.unwrap();
                    }
                    _ = ticks.tick(), if beats => {
                        client.publish(subject::heartbeat("g", "a"), heartbeat(state).to_string().into()).await.unwrap();
                    }
                    () = std::future::pending() => {}
                }
            }
        })
    }

    async fn next_event(&mut self) -> Value {
        let event = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("an event in time").unwrap();
        serde_json::from_slice(&event.payload).unwrap()
    }

    /// Events until one names that state.
    async fn until_state(&mut self, state: &str) -> Value {
        loop {
            let event = self.next_event().await;
            if event["state"] == state {
                return event;
            }
        }
    }

    async fn written(&self) -> Value {
        let jetstream = jetstream::new(self.client.clone());
        let bucket = jetstream.get_key_value(subject::states_bucket()).await.unwrap();
        let value = bucket.get(subject::state_key("g", "a")).await.unwrap().unwrap();
        serde_json::from_slice(&value).unwrap()
    }
}

fn heartbeat(state: &str) -> Value {
    json!({
        "type": "io.holdfast.replication.v1.heartbeat",
        "group": "g", "csp": "a", "node": "n", "incarnation": "i", "state": state, "applied": 1, "epoch": 1,
        "primary": "a", "outstanding": 0, "at_ms": 0,
    })
}

fn status(state: &str) -> Value {
    json!({
        "type": "io.holdfast.replication.v1.status_reply",
        "group": "g", "csp": "a", "node": "n", "incarnation": "i", "state": state, "applied": 1, "epoch": 1,
        "primary": "a", "outstanding": 0, "at_ms": 0, "started_at_ms": 0, "replication": "primary",
        "isolation": "serializable", "storage": "mem", "surrealdb_version": "3.3.5", "version": "0.1.0",
        "counters": {"committed": 0, "conflicts": 0, "queries": 0, "updates": 0, "entries": 0, "bytes": 0},
    })
}

#[tokio::test]
async fn a_csp_that_dies_is_found_by_two_signals_and_welcomed_back() {
    let mut scene = Scene::start(1).await;
    let csp = scene.csp("available", true, true).await;
    assert_eq!(scene.until_state("available").await["csp"], "a");
    csp.abort();
    assert_eq!(scene.next_event().await["state"], "suspect");
    let event = scene.next_event().await;
    assert_eq!(event["state"], "unavailable", "{event}");
    assert_eq!(event["cause"], "heartbeats missed and no responders");
    assert_eq!(scene.written().await["state"], "unavailable");
    let _csp = scene.csp("catching_up", true, true).await;
    assert_eq!(scene.next_event().await["state"], "catching_up");
    assert_eq!(scene.written().await["state"], "catching_up");
}

#[tokio::test]
async fn a_csp_that_hangs_is_asked_before_it_is_unavailable() {
    let mut scene = Scene::start(1).await;
    let csp = scene.csp("available", true, true).await;
    scene.until_state("available").await;
    let _hanging = scene.csp("available", false, false).await;
    csp.abort();
    let event = scene.until_state("unavailable").await;
    assert_eq!(event["cause"], "heartbeats missed and status request unanswered");
}

#[tokio::test]
async fn a_csp_that_answers_is_never_unavailable() {
    let mut scene = Scene::start(1).await;
    let csp = scene.csp("available", true, true).await;
    scene.until_state("available").await;
    let answering = scene.csp("available", false, true).await;
    csp.abort();
    scene.until_state("suspect").await;
    // It is asked again and again; the next thing that is told must be its return.
    let mut asked = scene.client.subscribe(subject::csp_status("g", "a")).await.unwrap();
    for _ in 0..2 {
        tokio::time::timeout(PATIENCE, asked.next()).await.expect("asked again").unwrap();
    }
    let _back = scene.csp("available", true, true).await;
    assert_eq!(scene.next_event().await["state"], "available");
    answering.abort();
}

#[tokio::test]
async fn several_supervisors_tell_a_change_once_and_a_restarted_one_tells_nothing_old() {
    let mut scene = Scene::start(2).await;
    let csp = scene.csp("available", true, true).await;
    scene.until_state("available").await;
    let since = scene.written().await["since_ms"].clone();
    scene.instances.remove(0).kill();
    scene.add_supervisor().await;
    csp.abort();
    let states = [scene.next_event().await["state"].clone(), scene.next_event().await["state"].clone()];
    assert_eq!(states, ["suspect", "unavailable"], "available since {since} was told once");
    let status = scene.instances.remove(0).terminate().await;
    assert!(status.success(), "{status}");
}
