//! The stage of the tests of task assignment: a log, CSPs that follow it, executions that assign, and a test that plays
//! supervision.

use crate::log_csp::LogCsp;
use crate::nats::{NatsServer, PATIENCE, Process};
use async_nats::jetstream::{self, kv};
use futures::StreamExt;
use holdfast_foundation::bus::log_stream;
use holdfast_schemas::message::{
    Assignment, CspState, CspStateChange, Doubt, GroupDefinition, LogControl, TASK_REPLICATION, TaskDefinition,
};
use holdfast_schemas::{Message, subject};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// One user hears everything but the presence of other instances of execution.
const DEAF: &str = r#"
authorization {
  users: [
    { user: deaf, password: deaf, permissions: { subscribe: { deny: ["holdfast.execution.presence.*"] } } }
    { user: hearing, password: hearing }
  ]
}
no_auth_user: hearing
"#;

pub struct Stage {
    pub server: NatsServer,
    pub client: async_nats::Client,
    pub jetstream: jetstream::Context,
    pub csps: Vec<LogCsp>,
    pub events: async_nats::Subscriber,
    executions: Vec<Process>,
}

impl Stage {
    /// Group `g` with CSPs a, b and c and its log, and nobody who assigns.
    pub async fn without_execution(tasks: Vec<TaskDefinition>) -> Self {
        let server = NatsServer::start_with(DEAF).await;
        let client = server.connect().await;
        let jetstream = jetstream::new(client.clone());
        log_stream::ensure(&jetstream, "g", 1).await.unwrap();
        let first = LogControl::Epoch { epoch: 1, primary: "a".to_owned() };
        jetstream.publish(subject::log("g"), first.encode().into()).await.unwrap().await.unwrap();
        let events = client.subscribe(subject::event("g", subject::EVENT_ASSIGNMENT)).await.unwrap();
        let mut csps = Vec::new();
        for name in ["a", "b", "c"] {
            csps.push(LogCsp::start(&server, name).await);
        }
        let stage = Self { server, client, jetstream, csps, events, executions: Vec::new() };
        let mut definition = GroupDefinition::new("g", ["a", "b", "c"]);
        definition.tasks = tasks;
        let bucket = stage.make_bucket(subject::definitions_bucket()).await;
        bucket.put("g", definition.encode().into()).await.unwrap();
        stage.make_bucket(subject::states_bucket()).await;
        stage
    }

    /// The same with that many executions, once the first epoch is on record.
    pub async fn start(executions: usize) -> Self {
        let mut stage = Self::without_execution(Vec::new()).await;
        for _ in 0..executions {
            stage.start_execution(&[]).await;
        }
        stage.until_assigned(|assignment| assignment.epoch == 1).await;
        stage
    }

    pub async fn start_execution(&mut self, settings: &[(&str, &str)]) {
        let binary = env!("CARGO_BIN_EXE_holdfast-execution");
        self.executions.push(Process::start(binary, &self.server, settings).await);
    }

    /// One that believes to lead whoever else is there.
    pub async fn start_deaf_execution(&mut self) {
        self.start_execution(&[("HOLDFAST_NATS__USER", "deaf"), ("HOLDFAST_NATS__PASSWORD", "deaf")]).await;
    }

    /// Kills the oldest execution, which leads.
    pub fn kill_leader(&mut self) {
        self.executions.remove(0).kill();
    }

    pub async fn make_bucket(&self, bucket: String) -> kv::Store {
        self.jetstream.create_key_value(kv::Config { bucket, ..kv::Config::default() }).await.unwrap()
    }

    pub fn csp(&self, name: &str) -> &LogCsp {
        self.csps.iter().find(|csp| csp.name() == name).unwrap()
    }

    /// Writes a verdict down and tells it, as supervision does.
    pub async fn judge(&self, csp: &str, state: CspState) {
        self.write_verdict(csp, state).await;
        self.tell_verdict(csp, state).await;
    }

    pub async fn write_verdict(&self, csp: &str, state: CspState) {
        let bucket = self.jetstream.get_key_value(subject::states_bucket()).await.unwrap();
        let verdict = self.verdict(csp, state);
        bucket.put(subject::state_key("g", csp), verdict.encode().into()).await.unwrap();
    }

    pub async fn tell_verdict(&self, csp: &str, state: CspState) {
        self.tell(&self.verdict(csp, state)).await;
    }

    /// Has it told that this CSP is gray.
    pub async fn tell_gray(&self, csp: &str) {
        let (doubt, cause) = (Some(Doubt::Gray), "gray: the test says so".to_owned());
        self.tell(&CspStateChange { doubt, cause, ..self.verdict(csp, CspState::Suspect) }).await;
    }

    async fn tell(&self, change: &CspStateChange) {
        let event = subject::event("g", subject::EVENT_CSP_STATE);
        self.client.publish(event, change.encode().into()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    fn verdict(&self, csp: &str, state: CspState) -> CspStateChange {
        CspStateChange {
            group: "g".to_owned(),
            csp: csp.to_owned(),
            state,
            since_ms: 0,
            cause: "the test says so".to_owned(),
            doubt: None,
            deserted: false,
            incarnation: Some(self.csp(csp).incarnation()),
            evidence: Vec::new(),
            concurring: Vec::new(),
        }
    }

    /// Kills the holder, has it judged, and waits until another one is primary. The old one comes back then.
    pub async fn fail_over(&self) -> Assignment {
        let before = self.until_assigned(|_| true).await;
        let holder = before.csp.unwrap();
        self.csp(&holder).die();
        self.judge(&holder, CspState::Unavailable).await;
        let after = self.until_assigned(|assignment| assignment.epoch > before.epoch).await;
        let primary = after.csp.clone().unwrap();
        assert_ne!(primary, holder);
        assert!(self.csp(&primary).is_alive(), "{primary} is dead");
        self.until_read(after.epoch).await;
        self.csp(&holder).revive();
        after
    }

    /// Who is primary by the bucket, once that is so.
    pub async fn until_assigned(&self, wanted: impl Fn(&Assignment) -> bool) -> Assignment {
        self.until_task(TASK_REPLICATION, wanted).await
    }

    pub async fn until_task(&self, task: &str, wanted: impl Fn(&Assignment) -> bool) -> Assignment {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < deadline {
            last = self.assignment(task).await;
            if let Some(assignment) = last.as_ref().filter(|assignment| wanted(assignment)) {
                return assignment.clone();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{task} was not assigned as wanted, last {last:?}");
    }

    async fn assignment(&self, task: &str) -> Option<Assignment> {
        let bucket = self.jetstream.get_key_value(subject::assignments_bucket()).await.ok()?;
        let value = bucket.get(subject::assignment_key("g", task)).await.ok()??;
        Some(Assignment::decode(&value).unwrap())
    }

    /// Waits until every CSP that lives has read that epoch.
    pub async fn until_read(&self, epoch: u64) {
        crate::nats::until("the epoch in the log", || {
            self.csps.iter().filter(|csp| csp.is_alive()).all(|csp| csp.epoch() >= epoch).then_some(())
        })
        .await;
    }

    /// All epoch entries of the log, also those that are void.
    pub async fn epochs(&self) -> Vec<(u64, String)> {
        let mut stream = self.jetstream.get_stream(subject::log_stream("g")).await.unwrap();
        let last = stream.info().await.unwrap().state.last_sequence;
        let mut epochs = Vec::new();
        for position in 1..=last {
            let message = stream.get_raw_message(position).await.unwrap();
            if let Ok(LogControl::Epoch { epoch, primary }) = LogControl::decode(&message.payload) {
                epochs.push((epoch, primary));
            }
        }
        epochs
    }

    /// Asks for a task to be moved.
    pub async fn ask_move(&self, group: &str, body: &str) -> Value {
        let request = async_nats::Request::new().payload(body.to_owned().into()).timeout(Some(PATIENCE));
        let answer = self.client.send_request(subject::assignment_move(group), request).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Asks until the instance that answers has heard of the CSP that is to hold it.
    pub async fn until_moved(&self, body: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.ask_move("g", body).await;
            if reply["error"]["code"] != "unavailable" {
                return reply;
            }
            assert!(Instant::now() < deadline, "not moved, last {reply}");
        }
    }

    /// Whether nothing at all is assigned for a while.
    pub async fn is_quiet_for(&mut self, quiet: Duration) -> bool {
        while let Some(Some(_)) = futures::FutureExt::now_or_never(self.events.next()) {}
        tokio::time::timeout(quiet, self.events.next()).await.is_err()
    }
}
