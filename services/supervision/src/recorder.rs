//! Writes changes of state down: into the states bucket, and as an event for those who listen.
//!
//! One task, so that the states of a CSP are written in the order in which they were decided. While the bucket cannot be
//! written, only the newest state of each CSP is kept. A write is made against the revision that was read, so of several
//! supervisors one writes, and that one publishes the event.
//!
//! The event of a verdict that may turn out to be its node's waits here until that is known; the bucket does not wait. Whoever
//! wrote the first of a node's CSPs tells of the node, so that this too is told once.

use crate::model::decision::{CspKey, Decision, NodeDecision};
use async_nats::Client;
use async_nats::jetstream::kv::{Entry, Operation, Store};
use async_nats::jetstream::{self, kv};
use bytes::Bytes;
use holdfast_schemas::message::{CspStateChange, NodeStateChange};
use holdfast_schemas::{Message, subject};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;

/// Pause after a bucket that could not be written.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Races that are run again at once.
const RACES_MAX: usize = 4;

/// Why a state was not written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bucket cannot be read or made.
    #[error("the states bucket cannot be reached")]
    Bucket(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Somebody else wrote in between, or the bucket does not answer: read again.
    #[error("the state could not be written")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is to be written or told, and when it was decided, in milliseconds since 1970.
#[derive(Debug)]
pub struct Order {
    /// What.
    pub task: Task,
    /// When.
    pub at_ms: u64,
}

/// What is to be written or told.
#[derive(Debug)]
pub enum Task {
    /// A state.
    State(Decision),
    /// Events that were held back are told after all.
    Release(Vec<CspKey>),
    /// A node went or came.
    Node(NodeDecision),
}

/// The writing task.
pub struct Recorder {
    client: Client,
    jetstream: jetstream::Context,
    replicas: usize,
    bucket: Option<Store>,
    waiting: VecDeque<Order>,
    /// What we wrote and have not told.
    held: BTreeMap<CspKey, CspStateChange>,
}

impl Recorder {
    /// Writes over this connection.
    pub fn new(client: Client, jetstream: jetstream::Context, replicas: usize) -> Self {
        Self { client, jetstream, replicas, bucket: None, waiting: VecDeque::new(), held: BTreeMap::new() }
    }

    /// Writes what comes until nobody sends any more.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            if self.waiting.is_empty() {
                match orders.recv().await {
                    Some(order) => self.waiting.push_back(order),
                    None => return,
                }
            }
            while let Ok(order) = orders.try_recv() {
                self.waiting.push_back(order);
            }
            if let Err(error) = self.carry_out_waiting().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    waiting = self.waiting.len(),
                    "not written yet"
                );
                self.bucket = None;
                self.keep_newest();
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn carry_out_waiting(&mut self) -> Result<(), RecordError> {
        while let Some(order) = self.waiting.pop_front() {
            let done = match &order.task {
                Task::State(decision) => self.record(decision, order.at_ms).await,
                Task::Release(keys) => {
                    self.release(keys).await;
                    Ok(())
                }
                Task::Node(node) => {
                    self.tell_node(node, order.at_ms).await;
                    Ok(())
                }
            };
            if let Err(error) = done {
                self.waiting.push_front(order);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Of the states of a CSP only the newest counts; what is to be told keeps its place.
    fn keep_newest(&mut self) {
        let mut seen = BTreeSet::new();
        let newest_first = self.waiting.drain(..).rev();
        let kept: Vec<_> = newest_first
            .filter(|order| match &order.task {
                Task::State(decision) => seen.insert(decision.key.clone()),
                Task::Release(_) | Task::Node(_) => true,
            })
            .collect();
        self.waiting.extend(kept.into_iter().rev());
    }

    async fn record(&mut self, decision: &Decision, at_ms: u64) -> Result<(), RecordError> {
        let bucket = self.bucket().await?;
        let Some(change) = write_at_last(&bucket, decision, at_ms).await? else { return Ok(()) };
        tracing::info!(group = change.group, csp = change.csp, state = ?change.state, cause = change.cause, "csp state");
        if decision.held {
            self.held.insert(decision.key.clone(), change);
        } else {
            self.publish(&change.group, subject::EVENT_CSP_STATE, &change).await;
        }
        Ok(())
    }

    async fn release(&mut self, keys: &[CspKey]) {
        for key in keys {
            if let Some(change) = self.held.remove(key) {
                self.publish(&change.group, subject::EVENT_CSP_STATE, &change).await;
            }
        }
    }

    async fn tell_node(&mut self, decision: &NodeDecision, at_ms: u64) {
        let keys = decision
            .groups
            .iter()
            .flat_map(|(group, csps)| csps.iter().map(|csp| CspKey { group: group.clone(), csp: csp.clone() }));
        let ours: Vec<_> = keys.map(|key| self.held.remove(&key).is_some()).collect();
        if !decision.available && ours.first() != Some(&true) {
            return;
        }
        tracing::info!(node = decision.node, available = decision.available, cause = decision.cause, "node state");
        for (group, csps) in &decision.groups {
            let deserted = decision.deserted.iter().filter(|key| key.group == *group);
            let change = NodeStateChange {
                node: decision.node.clone(),
                available: decision.available,
                csps: csps.clone(),
                deserted: deserted.map(|key| key.csp.clone()).collect(),
                group: group.clone(),
                since_ms: at_ms,
                cause: decision.cause.clone(),
            };
            self.publish(group, subject::EVENT_NODE_STATE, &change).await;
        }
    }

    async fn publish<M: Message>(&self, group: &str, kind: &str, event: &M) {
        if let Err(error) = self.client.publish(subject::event(group, kind), event.encode().into()).await {
            tracing::warn!(%error, "the event could not be published; the bucket holds the state");
        }
    }

    async fn bucket(&mut self) -> Result<Store, RecordError> {
        if let Some(bucket) = &self.bucket {
            return Ok(bucket.clone());
        }
        let bucket = open(&self.jetstream, self.replicas).await?;
        self.bucket = Some(bucket.clone());
        Ok(bucket)
    }
}

async fn open(jetstream: &jetstream::Context, replicas: usize) -> Result<Store, RecordError> {
    let name = subject::states_bucket();
    if let Ok(bucket) = jetstream.get_key_value(&name).await {
        return Ok(bucket);
    }
    let config = kv::Config { bucket: name, history: 1, num_replicas: replicas, ..kv::Config::default() };
    jetstream.create_key_value(config).await.map_err(|error| RecordError::Bucket(error.into()))
}

/// Somebody else may write at the same moment: what they wrote is read, and decides anew.
async fn write_at_last(bucket: &Store, decision: &Decision, at_ms: u64) -> Result<Option<CspStateChange>, RecordError> {
    for _ in 1..RACES_MAX {
        match write(bucket, decision, at_ms).await {
            Err(RecordError::Write(_)) => {}
            other => return other,
        }
    }
    write(bucket, decision, at_ms).await
}

/// What was written, if it was.
async fn write(bucket: &Store, decision: &Decision, at_ms: u64) -> Result<Option<CspStateChange>, RecordError> {
    let key = subject::state_key(&decision.key.group, &decision.key.csp);
    let present = bucket.entry(&key).await.map_err(|error| RecordError::Bucket(error.into()))?;
    if !present.as_ref().and_then(written).is_none_or(|written| decision.replaces(&written, at_ms)) {
        return Ok(None);
    }
    let change = decision.change(at_ms);
    let revision = present.map_or(0, |entry| entry.revision);
    let body = Bytes::from(change.encode());
    bucket.update(&key, body, revision).await.map_err(|error| RecordError::Write(error.into()))?;
    Ok(Some(change))
}

/// What an entry holds; nothing if it was deleted or cannot be read.
fn written(entry: &Entry) -> Option<CspStateChange> {
    (entry.operation == Operation::Put).then(|| CspStateChange::decode(&entry.value).ok()).flatten()
}
