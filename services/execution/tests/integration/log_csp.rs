//! A CSP that follows the log as far as assignment is concerned: it reads the epochs, and says so in its heartbeats.

use crate::nats::NatsServer;
use async_nats::jetstream::{self, consumer::push};
use futures::StreamExt;
use holdfast_schemas::message::{CspState, Heartbeat, LogControl};
use holdfast_schemas::{Message, subject};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// What it says of itself.
#[derive(Clone)]
struct Appearance {
    alive: bool,
    start: u32,
    state: CspState,
    applied: u64,
    epoch: u64,
    primary: Option<String>,
}

pub struct LogCsp {
    name: &'static str,
    appearance: Arc<Mutex<Appearance>>,
    changed: Arc<Notify>,
    _tasks: tokio::task::JoinSet<()>,
}

impl LogCsp {
    /// A CSP of group `g`, on a node of its own.
    pub async fn start(server: &NatsServer, name: &'static str) -> Self {
        let client = server.connect().await;
        let state = CspState::Available;
        let appearance = Appearance { alive: true, start: 1, state, applied: 0, epoch: 0, primary: None };
        let appearance = Arc::new(Mutex::new(appearance));
        let changed = Arc::new(Notify::new());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(read(client.clone(), Arc::clone(&appearance), Arc::clone(&changed)));
        tasks.spawn(beat(client, name, Arc::clone(&appearance), Arc::clone(&changed)));
        Self { name, appearance, changed, _tasks: tasks }
    }

    /// It is gone, without a word.
    pub fn die(&self) {
        self.appearance.lock().unwrap().alive = false;
    }

    /// It is back as another process, and serves.
    pub fn revive(&self) {
        let mut appearance = self.appearance.lock().unwrap();
        appearance.start += 1;
        appearance.alive = true;
        appearance.state = CspState::Available;
    }

    /// From now on it says this.
    pub fn report(&self, state: CspState) {
        self.appearance.lock().unwrap().state = state;
        self.changed.notify_one();
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn is_alive(&self) -> bool {
        self.appearance.lock().unwrap().alive
    }

    pub fn incarnation(&self) -> String {
        self.appearance.lock().unwrap().start.to_string()
    }

    /// The epoch that it has read.
    pub fn epoch(&self) -> u64 {
        self.appearance.lock().unwrap().epoch
    }
}

async fn read(client: async_nats::Client, appearance: Arc<Mutex<Appearance>>, changed: Arc<Notify>) {
    let stream = jetstream::new(client.clone()).get_stream(subject::log_stream("g")).await.unwrap();
    let deliver_subject = client.new_inbox();
    let consumer = stream.create_consumer(push::OrderedConfig { deliver_subject, ..Default::default() }).await.unwrap();
    let mut entries = consumer.messages().await.unwrap();
    while let Some(Ok(entry)) = entries.next().await {
        let position = entry.info().unwrap().stream_sequence;
        let mut appearance = appearance.lock().unwrap();
        appearance.applied = position;
        if let Ok(LogControl::Epoch { epoch, primary }) = LogControl::decode(&entry.payload)
            && epoch > appearance.epoch
        {
            appearance.epoch = epoch;
            appearance.primary = Some(primary);
            changed.notify_one();
        }
    }
}

async fn beat(
    client: async_nats::Client,
    name: &'static str,
    appearance: Arc<Mutex<Appearance>>,
    changed: Arc<Notify>,
) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = changed.notified() => {}
        }
        let now = appearance.lock().unwrap().clone();
        if !now.alive {
            continue;
        }
        let heartbeat = Heartbeat {
            group: "g".to_owned(),
            csp: name.to_owned(),
            node: format!("node-of-{name}"),
            incarnation: now.start.to_string(),
            state: now.state,
            applied: now.applied,
            log_end: None,
            epoch: now.epoch,
            primary: now.primary,
            outstanding: 0,
            at_ms: 0,
            stuck_ms: None,
            unheard_ms: None,
            storage_error: None,
            query_us: None,
            update_us: None,
            connects: None,
            updates_refused: None,
            clock_ms: None,
            clock_ahead_ms: None,
        };
        client.publish(subject::heartbeat("g", name), heartbeat.encode().into()).await.unwrap();
    }
}
