//! The loop that brings heartbeats, definitions, answers and the time to the watchlist, and carries out what it decides.
//!
//! One task owns the watchlist, so nothing is locked; what takes time (asking, writing) happens in other tasks.

use crate::config::SupervisionConfig;
use crate::model::detector::{Effect, StatusOutcome};
use crate::model::watchlist::{CspKey, Task, Watchlist};
use async_nats::{Subscriber, connection::State};
use futures::StreamExt;
use holdfast_foundation::bus::{Bus, RequestError};
use holdfast_foundation::clock::Clock;
use holdfast_schemas::message::CspStateChange;
use holdfast_schemas::message::{Heartbeat, StatusReply, StatusRequest};
use holdfast_schemas::{Message, subject};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// What the definitions bucket says of one group.
#[derive(Debug)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// Its CSPs; none if it is gone.
    pub csps: Vec<String>,
}

struct Answer {
    key: CspKey,
    question: u64,
    outcome: StatusOutcome,
}

/// The watching task.
pub struct Watch {
    bus: Bus,
    clock: Arc<dyn Clock>,
    config: SupervisionConfig,
    list: Watchlist,
    changes: mpsc::UnboundedSender<CspStateChange>,
    answers: mpsc::UnboundedSender<Answer>,
    answered: mpsc::UnboundedReceiver<Answer>,
}

impl Watch {
    /// Watches with this policy, and hands changes of state to `changes`.
    pub fn new(
        bus: Bus,
        clock: Arc<dyn Clock>,
        config: SupervisionConfig,
        changes: mpsc::UnboundedSender<CspStateChange>,
    ) -> Self {
        let (answers, answered) = mpsc::unbounded_channel();
        let list = Watchlist::new(config.policy());
        Self { bus, clock, config, list, changes, answers, answered }
    }

    /// Watches until `stop`.
    pub async fn run(
        mut self,
        mut heartbeats: Subscriber,
        mut memberships: mpsc::UnboundedReceiver<Membership>,
        stop: impl Future<Output = ()>,
    ) {
        let mut ticks = tokio::time::interval(Duration::from_millis(self.config.tick_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reassertions = tokio::time::interval(Duration::from_millis(self.config.reassert_ms));
        reassertions.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        loop {
            let now_ms = self.clock.monotonic_ms();
            let tasks = tokio::select! {
                () = &mut stop => return,
                Some(message) = heartbeats.next() => self.heartbeat(&message),
                Some(group) = memberships.recv() => {
                    self.list.define(&group.group, &group.csps, now_ms);
                    Vec::new()
                }
                Some(answer) = self.answered.recv() => {
                    self.list.status(&answer.key, answer.question, answer.outcome, self.clock.monotonic_ms())
                }
                _ = ticks.tick() => {
                    let connected = self.bus.client().connection_state() == State::Connected;
                    self.list.tick(connected, self.clock.monotonic_ms())
                }
                _ = reassertions.tick() => self.list.reassert(),
            };
            tasks.into_iter().for_each(|task| self.perform(task));
        }
    }

    fn heartbeat(&mut self, message: &async_nats::Message) -> Vec<Task> {
        match Heartbeat::decode(&message.payload) {
            Ok(heartbeat) => {
                let key = CspKey { group: heartbeat.group, csp: heartbeat.csp };
                self.list.heartbeat(&key, heartbeat.state, self.clock.monotonic_ms())
            }
            Err(error) => {
                tracing::debug!(subject = %message.subject, %error, "heartbeat cannot be read");
                Vec::new()
            }
        }
    }

    fn perform(&self, task: Task) {
        match task.effect {
            Effect::AskStatus { question } => self.ask(task.key, question),
            Effect::Changed { state, cause } => {
                let change = CspStateChange {
                    group: task.key.group,
                    csp: task.key.csp,
                    state,
                    since_ms: self.clock.now_ms(),
                    cause: cause.to_owned(),
                    incarnation: None,
                    evidence: Vec::new(),
                    concurring: Vec::new(),
                };
                if self.changes.send(change).is_err() {
                    tracing::error!("nobody writes states any more");
                }
            }
        }
    }

    fn ask(&self, key: CspKey, question: u64) {
        let (bus, answers) = (self.bus.clone(), self.answers.clone());
        let timeout = Duration::from_millis(self.config.status_timeout_ms);
        tokio::spawn(async move {
            let outcome = ask(&bus, &key, timeout).await;
            tracing::debug!(group = key.group, csp = key.csp, ?outcome, "status request");
            // The receiver is gone only when the service ends.
            let _ = answers.send(Answer { key, question, outcome });
        });
    }
}

async fn ask(bus: &Bus, key: &CspKey, timeout: Duration) -> StatusOutcome {
    let subject = subject::csp_status(&key.group, &key.csp);
    match bus.request::<StatusRequest, StatusReply>(subject, &StatusRequest::default(), timeout).await {
        // A refusal or an answer that cannot be read is a sign of life.
        Ok(_) | Err(RequestError::Refused(_) | RequestError::Malformed(_)) => StatusOutcome::Answered,
        Err(RequestError::NoResponders) => StatusOutcome::NoResponders,
        Err(RequestError::TimedOut) => StatusOutcome::Unanswered,
        Err(RequestError::Closed(_)) => StatusOutcome::NotAsked,
    }
}
