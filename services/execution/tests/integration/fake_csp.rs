//! A CSP that has no copy: it says that it lives, and answers every request with what it was told, so that a test sees what
//! arrived.

use crate::nats::NatsServer;
use futures::StreamExt;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the CSP says of itself.
#[derive(Clone)]
pub struct Appearance {
    pub state: &'static str,
    pub applied: u64,
    pub epoch: u64,
    pub primary: Option<&'static str>,
    pub outstanding: u32,
}

impl Default for Appearance {
    fn default() -> Self {
        Self { state: "available", applied: 10, epoch: 1, primary: Some("a"), outstanding: 0 }
    }
}

pub struct FakeCsp {
    appearance: Arc<Mutex<Appearance>>,
    tasks: tokio::task::JoinSet<()>,
}

impl FakeCsp {
    pub async fn start(server: &NatsServer, group: &'static str, csp: &'static str, appearance: Appearance) -> Self {
        let client = server.connect().await;
        let appearance = Arc::new(Mutex::new(appearance));
        let mut tasks = tokio::task::JoinSet::new();
        for (verb, subject) in [("update", subject::csp_update(group, csp)), ("query", subject::csp_query(group, csp))]
        {
            let requests = client.subscribe(subject).await.unwrap();
            tasks.spawn(echo(client.clone(), requests, csp, verb));
        }
        client.flush().await.unwrap();
        tasks.spawn(beat(client, group, csp, Arc::clone(&appearance)));
        Self { appearance, tasks }
    }

    /// From the next heartbeat on it says something else.
    pub fn appear(&self, appearance: Appearance) {
        *self.appearance.lock().unwrap() = appearance;
    }

    /// It is gone, without a word.
    pub fn stop(mut self) {
        self.tasks.abort_all();
    }
}

async fn beat(client: async_nats::Client, group: &'static str, csp: &'static str, appearance: Arc<Mutex<Appearance>>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let now = appearance.lock().unwrap().clone();
        let heartbeat = json!({
            "type": "io.holdfast.replication.v1.heartbeat",
            "group": group, "csp": csp, "node": "n", "incarnation": "i", "state": now.state,
            "applied": now.applied, "epoch": now.epoch, "primary": now.primary,
            "outstanding": now.outstanding, "at_ms": 0,
        });
        client.publish(subject::heartbeat(group, csp), heartbeat.to_string().into()).await.unwrap();
    }
}

async fn echo(client: async_nats::Client, mut requests: async_nats::Subscriber, csp: &'static str, verb: &'static str) {
    while let Some(request) = requests.next().await {
        let headers: serde_json::Map<String, Value> = request
            .headers
            .iter()
            .flat_map(|headers| headers.iter())
            .filter_map(|(name, values)| Some((name.to_string(), json!(values.first()?.as_str()))))
            .collect();
        let seen = json!({
            "csp": csp, "verb": verb, "headers": headers,
            "reply": request.reply.as_ref().map(|reply| reply.to_string()),
            "body": String::from_utf8_lossy(&request.payload),
        });
        if let Some(reply) = request.reply {
            client.publish(reply, seen.to_string().into()).await.unwrap();
        }
    }
}
