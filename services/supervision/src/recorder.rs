//! Writes changes of state down: into the states bucket, and as an event for those who listen.
//!
//! One task, so that the states of a CSP are written in the order in which they were decided. While the bucket cannot be
//! written, only the newest state of each CSP is kept. A write is made against the revision that was read, so of several
//! supervisors one writes, and that one publishes the event.

use crate::model::table;
use async_nats::Client;
use async_nats::jetstream::kv::{Entry, Operation, Store};
use async_nats::jetstream::{self, kv};
use bytes::Bytes;
use holdfast_schemas::message::CspState;
use holdfast_schemas::message::CspStateChange;
use holdfast_schemas::{Message, subject};
use std::collections::{BTreeSet, VecDeque};
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

/// The writing task.
pub struct Recorder {
    client: Client,
    jetstream: jetstream::Context,
    replicas: usize,
    waiting: VecDeque<CspStateChange>,
}

impl Recorder {
    /// Writes over this connection.
    pub fn new(client: Client, jetstream: jetstream::Context, replicas: usize) -> Self {
        Self { client, jetstream, replicas, waiting: VecDeque::new() }
    }

    /// Writes what comes until nobody sends any more.
    pub async fn run(mut self, mut changes: mpsc::UnboundedReceiver<CspStateChange>) {
        loop {
            if self.waiting.is_empty() {
                match changes.recv().await {
                    Some(change) => self.waiting.push_back(change),
                    None => return,
                }
            }
            while let Ok(change) = changes.try_recv() {
                self.waiting.push_back(change);
            }
            if let Err(error) = self.write_waiting().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    waiting = self.waiting.len(),
                    "not written yet"
                );
                self.keep_newest();
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn write_waiting(&mut self) -> Result<(), RecordError> {
        let bucket = self.bucket().await?;
        while let Some(change) = self.waiting.front() {
            record_at_last(&self.client, &bucket, change).await?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    fn keep_newest(&mut self) {
        let mut seen = BTreeSet::new();
        let newest_first = self.waiting.drain(..).rev();
        let kept: Vec<_> =
            newest_first.filter(|change| seen.insert((change.group.clone(), change.csp.clone()))).collect();
        self.waiting.extend(kept.into_iter().rev());
    }

    async fn bucket(&self) -> Result<Store, RecordError> {
        let name = subject::states_bucket();
        if let Ok(bucket) = self.jetstream.get_key_value(&name).await {
            return Ok(bucket);
        }
        let config = kv::Config { bucket: name, history: 1, num_replicas: self.replicas, ..kv::Config::default() };
        self.jetstream.create_key_value(config).await.map_err(|error| RecordError::Bucket(error.into()))
    }
}

/// Somebody else may write at the same moment: what they wrote is read, and decides anew.
async fn record_at_last(client: &Client, bucket: &Store, change: &CspStateChange) -> Result<(), RecordError> {
    for _ in 1..RACES_MAX {
        match record(client, bucket, change).await {
            Err(RecordError::Write(_)) => {}
            other => return other,
        }
    }
    record(client, bucket, change).await
}

async fn record(client: &Client, bucket: &Store, change: &CspStateChange) -> Result<(), RecordError> {
    let key = subject::state_key(&change.group, &change.csp);
    let present = bucket.entry(&key).await.map_err(|error| RecordError::Bucket(error.into()))?;
    if !present.as_ref().and_then(written).is_none_or(|written| table::replaces(written, change.state)) {
        return Ok(());
    }
    let body = Bytes::from(change.encode());
    let revision = present.map_or(0, |entry| entry.revision);
    bucket.update(&key, body.clone(), revision).await.map_err(|error| RecordError::Write(error.into()))?;
    tracing::info!(group = change.group, csp = change.csp, state = ?change.state, cause = change.cause, "csp state");
    let event = subject::event(&change.group, subject::EVENT_CSP_STATE);
    if let Err(error) = client.publish(event, body).await {
        tracing::warn!(%error, "the event could not be published; the bucket holds the state");
    }
    Ok(())
}

/// The state that an entry holds; none if it was deleted or cannot be read.
fn written(entry: &Entry) -> Option<CspState> {
    let change = CspStateChange::decode(&entry.value).ok()?;
    (entry.operation == Operation::Put).then_some(change.state)
}
