//! A group on a real nats-server, with CSPs that beat and answer as they are told, and supervisors that watch them.

use crate::nats::{NatsServer, PATIENCE, Process};
use async_nats::jetstream::{self, kv};
use futures::StreamExt;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const BINARY: &str = env!("CARGO_BIN_EXE_holdfast-supervision");

pub struct Scene {
    pub server: NatsServer,
    pub client: async_nats::Client,
    pub instances: Vec<Process>,
    pub events: async_nats::Subscriber,
    /// How many supervisors are defined.
    supervisors: usize,
    restarted: Option<Child>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(server) = &mut self.restarted {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// How a CSP behaves.
#[derive(Clone)]
pub struct Csp {
    pub name: &'static str,
    pub node: &'static str,
    pub incarnation: &'static str,
    pub state: &'static str,
    pub beats: bool,
    pub answers: bool,
    /// Further members of its heartbeats.
    pub more: Value,
}

impl Csp {
    /// One that is available, on a node of its own.
    pub fn named(name: &'static str) -> Self {
        Self { name, node: name, incarnation: "1", state: "available", beats: true, answers: true, more: json!({}) }
    }

    fn heartbeat(&self) -> Value {
        let mut heartbeat = json!({
            "type": "io.holdfast.replication.v1.heartbeat",
            "group": "g", "csp": self.name, "node": self.node, "incarnation": self.incarnation, "state": self.state,
            "applied": 1, "epoch": 1, "primary": "a", "outstanding": 0, "at_ms": 0,
        });
        heartbeat.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        heartbeat
    }

    fn status(&self) -> Value {
        let mut status = self.heartbeat();
        let more = json!({
            "type": "io.holdfast.replication.v1.status_reply",
            "started_at_ms": 0, "replication": "primary", "isolation": "serializable", "storage": "mem",
            "surrealdb_version": "3.3.5", "version": "0.1.0",
            "counters": {"committed": 0, "conflicts": 0, "queries": 0, "updates": 0, "entries": 0, "bytes": 0},
        });
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        status
    }
}

/// A CSP that runs; when it is dropped, or killed, its connection is closed, as that of a dead process is.
pub struct Running {
    task: JoinHandle<()>,
}

impl Running {
    /// Ends it, and waits until its connection is closed. When that was.
    pub async fn kill(mut self) -> Instant {
        self.task.abort();
        let _ = (&mut self.task).await;
        Instant::now()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scene {
    /// Group `g` with these CSPs defined, and that many supervisors.
    pub async fn start(csps: &[&str], instances: usize) -> Self {
        Self::start_with(csps, instances, json!({})).await
    }

    /// The same with supervisors that wait for a second before they doubt a CSP: those that are played here stand still when this
    /// process does, and are not to be judged for that where a test is about something else.
    pub async fn start_patient(csps: &[&str], instances: usize) -> Self {
        Self::start_with(csps, instances, json!({ "heartbeats_missed": 10 })).await
    }

    async fn start_with(csps: &[&str], instances: usize, policy: Value) -> Self {
        let server = NatsServer::start().await;
        let client = server.connect().await;
        let config = kv::Config { bucket: subject::definitions_bucket(), ..kv::Config::default() };
        let bucket = jetstream::new(client.clone()).create_key_value(config).await.unwrap();
        let definition = json!({
            "type": "io.holdfast.administration.v1.group_definition",
            "name": "g", "csps": csps, "replication": "primary", "isolation": "serializable", "storage": "mem",
            "ids_kept_ms": 600_000, "log_replicas": 1, "supervision": policy,
        });
        bucket.put("g", definition.to_string().into()).await.unwrap();
        let events = client.subscribe(subject::events("g")).await.unwrap();
        client.flush().await.unwrap();
        let mut scene = Self { server, client, instances: Vec::new(), events, supervisors: instances, restarted: None };
        for _ in 0..instances {
            scene.add_supervisor().await;
        }
        scene.until_supervisors_speak(instances).await;
        scene
    }

    pub async fn add_supervisor(&mut self) {
        let supervisors = self.supervisors.to_string();
        let settings = [("HOLDFAST_SUPERVISION__SUPERVISORS", supervisors.as_str())];
        self.instances.push(Process::start(BINARY, &self.server, &settings).await);
    }

    /// Waits until that many have spoken, for longer than one who comes keeps back its verdicts.
    async fn until_supervisors_speak(&self, instances: usize) {
        let mut opinions = self.client.subscribe(subject::opinions()).await.unwrap();
        let mut words = std::collections::BTreeMap::<_, usize>::new();
        while words.len() < instances || words.values().any(|count| *count < 8) {
            let word = tokio::time::timeout(PATIENCE, opinions.next()).await.expect("supervisors speak").unwrap();
            *words.entry(word.subject.to_string()).or_default() += 1;
        }
    }

    /// Kills nats-server, and starts the same program on the same port with the same data.
    pub fn restart_nats(&mut self) {
        let folder = self.server.folder.path();
        let file = std::fs::read_dir(folder.join("ports")).unwrap().next().unwrap().unwrap().file_name();
        let file = file.into_string().unwrap();
        // It names the file after its process: nats-server_PID.ports.
        let id = file.trim_end_matches(".ports").rsplit('_').next().unwrap();
        let program = std::fs::read_link(format!("/proc/{id}/exe")).unwrap();
        let port = self.server.url.rsplit(':').next().unwrap();
        assert!(Command::new("kill").args(["-9", id]).status().unwrap().success());
        let mut command = Command::new(program);
        command.args(["--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir"]).arg(folder.join("data"));
        self.restarted = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    /// A CSP on a connection of its own.
    pub async fn csp(&self, csp: Csp) -> Running {
        let client = self.server.connect().await;
        let mut requests = client.subscribe(subject::csp_status("g", csp.name)).await.unwrap();
        client.flush().await.unwrap();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                tokio::select! {
                    Some(request) = requests.next(), if csp.answers => {
                        client.publish(request.reply.unwrap(), csp.status().to_string().into()).await.unwrap();
                    }
                    _ = ticks.tick(), if csp.beats => {
                        let to = subject::heartbeat("g", csp.name);
                        client.publish(to, csp.heartbeat().to_string().into()).await.unwrap();
                    }
                    () = std::future::pending() => {}
                }
            }
        });
        Running { task }
    }

    pub async fn next_event(&mut self) -> Value {
        let event = tokio::time::timeout(PATIENCE, self.events.next()).await.expect("an event in time").unwrap();
        serde_json::from_slice(&event.payload).unwrap()
    }

    /// Events until one names that state.
    pub async fn until_state(&mut self, state: &str) -> Value {
        loop {
            let event = self.next_event().await;
            if event["state"] == state {
                return event;
            }
        }
    }

    /// Waits until the bucket says this of a CSP.
    pub async fn until_written(&self, csp: &str, state: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let written = self.written(csp).await;
            if written["state"] == state {
                return written;
            }
            assert!(Instant::now() < deadline, "{csp} is not {state}: {written}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub async fn written(&self, csp: &str) -> Value {
        let jetstream = jetstream::new(self.client.clone());
        let Ok(bucket) = jetstream.get_key_value(subject::states_bucket()).await else { return Value::Null };
        let value = bucket.get(subject::state_key("g", csp)).await.unwrap();
        value.map_or(Value::Null, |value| serde_json::from_slice(&value).unwrap())
    }

    /// Says something on a subject, in the words of `type_name`.
    pub async fn say(&self, subject: String, type_name: &str, mut message: Value) {
        message["type"] = json!(format!("io.holdfast.supervision.v1.{type_name}"));
        self.client.publish(subject, message.to_string().into()).await.unwrap();
        self.client.flush().await.unwrap();
    }
}
