//! The loop that brings what is heard, the answers and the time to the watchlist, and carries out what it decides.
//!
//! One task owns the watchlist, so nothing is locked; what takes time (asking, writing) happens in other tasks.

use crate::config::SupervisionConfig;
use crate::model::decision::{CspKey, Effect};
use crate::model::detector::StatusOutcome;
use crate::model::watchlist::Watchlist;
use crate::recorder::{Order, Task};
use async_nats::{Client, SubscribeError, Subscriber, connection::State};
use futures::StreamExt;
use holdfast_foundation::bus::{Bus, RequestError};
use holdfast_foundation::clock::Clock;
use holdfast_schemas::message::{Heartbeat, Hint, NodeAlive, StatusReply, StatusRequest, SupervisionPolicy};
use holdfast_schemas::{Message, limits, subject};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

/// What is new within so long is said in one word, with the next tick.
const WORDS_PAUSE_MS: u64 = 5;
/// More supervisors than are defined, or too few for a verdict, are spoken of when they were heard for so many words.
const WRONG_NUMBER_WORDS: u32 = 20;

/// What the definitions bucket says of one group.
#[derive(Debug)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// Its CSPs; none if it is gone.
    pub csps: Vec<String>,
    /// How patient we are with them.
    pub policy: SupervisionPolicy,
}

/// All that is listened to.
pub struct Ears {
    heartbeats: Subscriber,
    opinions: Subscriber,
    hints: Subscriber,
    nodes: Subscriber,
    memberships: mpsc::UnboundedReceiver<Membership>,
}

impl Ears {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn open(
        client: &Client,
        memberships: mpsc::UnboundedReceiver<Membership>,
    ) -> Result<Self, SubscribeError> {
        Ok(Self {
            heartbeats: client.subscribe(subject::all_heartbeats()).await?,
            opinions: client.subscribe(subject::opinions()).await?,
            hints: client.subscribe(subject::hint()).await?,
            nodes: client.subscribe(subject::nodes_alive()).await?,
            memberships,
        })
    }
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
    own_subject: String,
    list: Watchlist,
    orders: mpsc::UnboundedSender<Order>,
    answers: mpsc::UnboundedSender<Answer>,
    answered: mpsc::UnboundedReceiver<Answer>,
    /// When we last said what we hold for gone.
    spoke_at_ms: u64,
    /// Whether there is something to say that waits for the next tick.
    is_word_due: bool,
    /// For how many words in a row more supervisors were heard than are defined.
    too_many_for: u32,
    /// For how many words in a row too few supervisors were heard for any verdict.
    too_few_for: u32,
}

impl Watch {
    /// Watches with these settings under the name `instance`, and hands what is to be written to `orders`.
    pub fn new(
        bus: Bus,
        clock: Arc<dyn Clock>,
        config: SupervisionConfig,
        instance: String,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Self {
        let (answers, answered) = mpsc::unbounded_channel();
        let own_subject = subject::opinion(&instance);
        let list = Watchlist::new(config.policies(), instance, clock.monotonic_ms());
        Self {
            bus,
            clock,
            config,
            own_subject,
            list,
            orders,
            answers,
            answered,
            spoke_at_ms: 0,
            is_word_due: false,
            too_many_for: 0,
            too_few_for: 0,
        }
    }

    /// Watches until `stop`.
    pub async fn run(mut self, mut ears: Ears, stop: impl Future<Output = ()>) {
        let mut ticks = every(self.tick_ms());
        let mut words = every(limits::PRESENCE_INTERVAL_MS);
        let mut reassertions = every(self.config.reassert_ms);
        let mut stop = std::pin::pin!(stop);
        loop {
            let effects = tokio::select! {
                () = &mut stop => return,
                Some(message) = ears.heartbeats.next() => {
                    self.heard(&message, |list, beat: Heartbeat, now_ms| list.heartbeat(&beat, now_ms))
                }
                Some(message) = ears.opinions.next() => self.heard(&message, Watchlist::opinion),
                Some(message) = ears.hints.next() => self.heard(&message, |list, hint: Hint, now_ms| {
                    list.hint(&CspKey { group: hint.group, csp: hint.csp }, &hint.evidence, now_ms)
                }),
                Some(message) = ears.nodes.next() => {
                    self.heard(&message, |list, alive: NodeAlive, now_ms| list.node_alive(&alive.node, now_ms))
                }
                Some(group) = ears.memberships.recv() => {
                    self.list.define(&group.group, &group.csps, &group.policy, self.clock.monotonic_ms());
                    ticks = every(self.tick_ms());
                    Vec::new()
                }
                Some(answer) = self.answered.recv() => {
                    self.list.status(&answer.key, answer.question, answer.outcome, self.clock.monotonic_ms())
                }
                _ = ticks.tick() => {
                    if std::mem::take(&mut self.is_word_due) {
                        self.speak().await;
                    }
                    self.list.tick(self.connection(), self.clock.monotonic_ms())
                }
                _ = words.tick() => {
                    self.watch_number();
                    self.speak().await;
                    Vec::new()
                }
                _ = reassertions.tick() => self.list.reassert(self.clock.monotonic_ms()),
            };
            for effect in effects {
                self.perform(effect).await;
            }
        }
    }

    /// How often silence is measured: as set, and often enough for the least patient group.
    fn tick_ms(&self) -> u64 {
        self.list.tick_ms_max().map_or(self.config.tick_ms, |tick_ms| tick_ms.min(self.config.tick_ms))
    }

    fn heard<M: Message>(
        &mut self,
        message: &async_nats::Message,
        tell: impl FnOnce(&mut Watchlist, M, u64) -> Vec<Effect>,
    ) -> Vec<Effect> {
        match M::decode(&message.payload) {
            Ok(said) => tell(&mut self.list, said, self.clock.monotonic_ms()),
            Err(error) => {
                tracing::debug!(subject = %message.subject, %error, "what was said cannot be read");
                Vec::new()
            }
        }
    }

    /// The number of the connection that we have. A server that is about to leave closes the connections of the others too,
    /// in some order, so it counts as none.
    fn connection(&self) -> Option<u64> {
        let client = self.bus.client();
        let usable = client.connection_state() == State::Connected && !client.server_info().lame_duck_mode;
        usable.then(|| client.statistics().connects.load(Ordering::Relaxed))
    }

    async fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask { key, question, timeout_ms } => self.ask(key, question, timeout_ms),
            Effect::Speak => self.speak_soon().await,
            Effect::Record(decision) => self.order(Task::State(decision)),
            Effect::Release(keys) => self.order(Task::Release(keys)),
            Effect::Node(decision) => self.order(Task::Node(decision)),
        }
    }

    /// Says at once what is new, but not each of many things that are new together: a word holds all that we hold for gone, so a
    /// node with a hundred CSPs would cost a hundred words about a hundred of them.
    async fn speak_soon(&mut self) {
        if self.clock.monotonic_ms().saturating_sub(self.spoke_at_ms) < WORDS_PAUSE_MS {
            self.is_word_due = true;
        } else {
            self.speak().await;
        }
    }

    /// Says if more supervisors are heard than there should be, for longer than one that was started again counts twice; and if
    /// those that are heard are too few to declare anything, which nobody else would notice before a CSP is gone.
    fn watch_number(&mut self) {
        self.watch_majority();
        let heard = self.list.too_many_supervisors(self.clock.monotonic_ms());
        self.too_many_for = heard.map_or(0, |_| self.too_many_for.saturating_add(1));
        if let Some(heard) = heard.filter(|_| self.too_many_for == WRONG_NUMBER_WORDS) {
            let defined = self.config.supervisors;
            tracing::warn!(heard, defined, "more supervisors are heard than are defined: set supervision.supervisors");
        }
    }

    fn watch_majority(&mut self) {
        let defined = self.config.supervisors;
        let too_few = self.list.too_few_supervisors(self.clock.monotonic_ms());
        let few_for = too_few.map_or(0, |_| self.too_few_for.saturating_add(1));
        let few_before = std::mem::replace(&mut self.too_few_for, few_for);
        match too_few {
            Some(heard) if few_for == WRONG_NUMBER_WORDS => tracing::warn!(
                "only {heard} of {defined} supervisors are heard, so no CSP is declared unavailable: start the others, or \
                 correct supervision.supervisors"
            ),
            None if few_before >= WRONG_NUMBER_WORDS => {
                tracing::info!(
                    "more than half of {defined} supervisors are heard again: CSPs are declared unavailable as needed"
                );
            }
            _ => {}
        }
    }

    /// Says whom we hold for gone. Without a connection it would only be said late, when it may be true no longer.
    async fn speak(&mut self) {
        self.spoke_at_ms = self.clock.monotonic_ms();
        let client = self.bus.client();
        if client.connection_state() != State::Connected {
            return;
        }
        let word = self.list.own_opinion().encode();
        if let Err(error) = client.publish(self.own_subject.clone(), word.into()).await {
            tracing::debug!(%error, "our opinion could not be told");
        }
    }

    fn order(&self, task: Task) {
        if self.orders.send(Order { task, at_ms: self.clock.now_ms() }).is_err() {
            tracing::error!("nobody writes states any more");
        }
    }

    fn ask(&self, key: CspKey, question: u64, timeout_ms: u64) {
        let (bus, answers) = (self.bus.clone(), self.answers.clone());
        let timeout = Duration::from_millis(timeout_ms);
        tokio::spawn(async move {
            let outcome = ask(&bus, &key, timeout).await;
            tracing::debug!(group = key.group, csp = key.csp, ?outcome, "status request");
            // The receiver is gone only when the service ends.
            let _ = answers.send(Answer { key, question, outcome });
        });
    }
}

fn every(interval_ms: u64) -> Interval {
    let mut interval = tokio::time::interval(Duration::from_millis(interval_ms));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
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
