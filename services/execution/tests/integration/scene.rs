//! The stage of a test: nats-server, a defined group, execution, and a client.

use crate::nats::{NatsServer, PATIENCE, Process};
use async_nats::jetstream::{self, kv};
use futures::StreamExt;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

pub struct Scene {
    pub server: NatsServer,
    pub client: async_nats::Client,
    instances: Vec<Process>,
}

impl Scene {
    /// Group `g` with these CSPs, and one execution that knows it.
    pub async fn start(csps: &[&str], replication: &str) -> Self {
        let mut scene = Self::without_execution(csps, replication).await;
        scene.start_execution().await;
        scene
    }

    /// Group `g` with these CSPs, and nobody who takes requests.
    pub async fn without_execution(csps: &[&str], replication: &str) -> Self {
        let scene = Self::empty().await;
        scene.define("g", csps, replication).await;
        scene
    }

    /// One execution, and not even a bucket for definitions.
    pub async fn without_groups() -> Self {
        let mut scene = Self::empty().await;
        scene.start_execution().await;
        scene
    }

    async fn empty() -> Self {
        let server = NatsServer::start().await;
        let client = server.connect().await;
        Self { server, client, instances: Vec::new() }
    }

    pub async fn define(&self, group: &str, csps: &[&str], replication: &str) {
        self.define_with(group, csps, replication, json!({})).await;
    }

    /// The same with these fields on top.
    pub async fn define_with(&self, group: &str, csps: &[&str], replication: &str, fields: Value) {
        let config = kv::Config { bucket: subject::definitions_bucket(), ..kv::Config::default() };
        let bucket = jetstream::new(self.client.clone()).create_key_value(config).await.unwrap();
        let mut definition = json!({
            "type": "io.holdfast.administration.v1.group_definition",
            "name": group, "csps": csps, "replication": replication, "isolation": "serializable",
            "storage": "mem", "ids_kept_ms": 600_000, "log_replicas": 1,
        });
        definition.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        bucket.put(group, definition.to_string().into()).await.unwrap();
    }

    pub async fn start_execution(&mut self) {
        self.start_execution_with(&[]).await;
    }

    pub async fn start_execution_with(&mut self, settings: &[(&str, &str)]) {
        let binary = env!("CARGO_BIN_EXE_holdfast-execution");
        self.instances.push(Process::start(binary, &self.server, settings).await);
    }

    /// Kills the oldest instance.
    pub fn kill(&mut self) {
        self.instances.remove(0).kill();
    }

    /// Asks the oldest instance to end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.instances.remove(0).terminate().await
    }

    pub async fn ask(&self, verb: &str, body: &str) -> Value {
        self.ask_group("g", verb, body).await
    }

    pub async fn ask_group(&self, group: &str, verb: &str, body: &str) -> Value {
        let subject = if verb == "update" { subject::update(group) } else { subject::query(group) };
        let request = async_nats::Request::new().payload(body.to_owned().into()).timeout(Some(PATIENCE));
        let answer = self.client.send_request(subject, request).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Asks until that CSP answers once.
    pub async fn until_csp(&self, verb: &str, csp: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(verb, r#"{"sql":"s"}"#).await;
            if answer["csp"] == csp {
                return;
            }
            assert!(Instant::now() < deadline, "{csp} was never chosen, last {answer}");
        }
    }

    /// Asks until nobody but that CSP has been chosen for two dozen requests in a row. Requests to a CSP that died unnoticed
    /// go unanswered, so an answer is not waited for long.
    pub async fn until_only(&self, verb: &str, csp: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut in_a_row = 0;
        while in_a_row < 24 {
            let subject = if verb == "update" { subject::update("g") } else { subject::query("g") };
            let payload = r#"{"sql":"s"}"#.into();
            let request = async_nats::Request::new().payload(payload).timeout(Some(Duration::from_millis(100)));
            let answer = self.client.send_request(subject, request).await.ok();
            let answer: Value = answer.map_or(Value::Null, |answer| serde_json::from_slice(&answer.payload).unwrap());
            in_a_row = if answer["csp"] == csp { in_a_row + 1 } else { 0 };
            assert!(Instant::now() < deadline, "others than {csp} are chosen, last {answer}");
        }
    }
}

/// The next message of a subscription, as JSON.
pub async fn next(inbox: &mut async_nats::Subscriber) -> Value {
    let message = tokio::time::timeout(PATIENCE, inbox.next()).await.expect("an answer in time").unwrap();
    serde_json::from_slice(&message.payload).unwrap()
}

pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
