//! Learns the groups from the definitions bucket: a watch that is set up again whenever it ends, and a look-up for requests
//! that are faster than the watch.
//!
//! A watch reads from the server that serves it, which may have been started a moment ago and still lack what the others have. So
//! nothing that it tells is believed before it has come to the last revision, which the leader of the bucket knows: else a group
//! would lose its pools and windows for that moment.

use crate::perform::Performer;
use crate::router::Task;
use async_nats::jetstream;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind, KeyValueError};
use async_nats::jetstream::kv::{Entry, Operation, Store};
use futures::StreamExt;
use holdfast_schemas::message::GroupDefinition;
use holdfast_schemas::{Message, subject};
use std::error::Error;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// First pause before the watch is set up again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The server that serves a watch has come to the last revision within this time, if there is still something under that.
const CURRENT_WITHIN: Duration = Duration::from_secs(5);

/// Why the bucket could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// Nobody has made the bucket yet: no group was ever defined.
    #[error("there is no definitions bucket yet")]
    Missing,
    /// JetStream does not answer.
    #[error("the definitions bucket cannot be reached")]
    Bucket(#[source] Box<dyn Error + Send + Sync>),
    /// The server that serves the watch has nothing of what the leader has.
    #[error("the server that was asked has no definition yet, although there are some")]
    Behind,
    /// An entry is not a definition.
    #[error("the definition cannot be read")]
    Entry(#[from] holdfast_schemas::DecodeError),
}

/// The definitions bucket.
#[derive(Clone)]
pub struct Definitions {
    jetstream: jetstream::Context,
}

impl Definitions {
    /// The bucket behind this JetStream context; nothing is asked yet.
    pub fn new(jetstream: jetstream::Context) -> Self {
        Self { jetstream }
    }

    /// Reads one definition. A bucket that was never made holds none.
    pub async fn look_up(&self, group: &str) -> Result<Option<GroupDefinition>, DefinitionsError> {
        if holdfast_schemas::name::validate(holdfast_schemas::name::NameKind::Group, group).is_err() {
            return Ok(None);
        }
        let Some(bucket) = self.bucket().await? else {
            return Ok(None);
        };
        match bucket.entry(group).await.map_err(unreachable)? {
            Some(entry) if entry.operation == Operation::Put => Ok(Some(GroupDefinition::decode(&entry.value)?)),
            Some(_) | None => Ok(None),
        }
    }

    /// Keeps the router's groups as the bucket says, for ever. `loaded` turns true once the first read is complete.
    pub async fn follow(&self, performer: Performer, loaded: watch::Sender<bool>) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.follow_once(&performer, &loaded).await {
                Ok(()) => pause = PAUSE_MIN,
                Err(error) => {
                    tracing::debug!(error = &error as &dyn Error, "the definitions are not watched");
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn follow_once(&self, performer: &Performer, loaded: &watch::Sender<bool>) -> Result<(), DefinitionsError> {
        let Some(bucket) = self.bucket().await? else {
            loaded.send_replace(true);
            return Err(DefinitionsError::Missing);
        };
        // The leader says so.
        let state = bucket.status().await.map_err(unreachable)?.info.state;
        let mut watch = bucket.watch_with_history(">").await.map_err(unreachable)?;
        let mut reading = Reading::new(if state.messages == 0 { 0 } else { state.last_sequence });
        let behind_at = Instant::now() + CURRENT_WITHIN;
        loop {
            if reading.is_current() {
                loaded.send_replace(true);
            }
            let next = tokio::select! {
                entry = watch.next() => Some(entry),
                () = tokio::time::sleep_until(behind_at), if !reading.is_current() => None,
            };
            let entries = match next {
                Some(Some(entry)) => {
                    let entry = entry.map_err(unreachable)?;
                    reading.take(entry.revision, entry)
                }
                Some(None) => return Ok(()),
                None => reading.end().ok_or(DefinitionsError::Behind)?,
            };
            for entry in entries {
                performer.perform(apply(performer, &entry)).await;
            }
        }
    }

    /// The bucket; none if nobody has made it yet.
    async fn bucket(&self) -> Result<Option<Store>, DefinitionsError> {
        match self.jetstream.get_key_value(subject::definitions_bucket()).await {
            Ok(bucket) => Ok(Some(bucket)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(unreachable(error)),
        }
    }
}

/// What a watch has told, held back until it has come to the last revision that there was when it began.
#[derive(Debug)]
struct Reading<E> {
    last_revision: u64,
    held: Vec<E>,
    is_current: bool,
}

impl<E> Reading<E> {
    fn new(last_revision: u64) -> Self {
        Self { last_revision, held: Vec::new(), is_current: last_revision == 0 }
    }

    fn is_current(&self) -> bool {
        self.is_current
    }

    /// Takes an entry, and gives what can be believed now, in order.
    fn take(&mut self, revision: u64, entry: E) -> Vec<E> {
        self.held.push(entry);
        self.is_current |= revision >= self.last_revision;
        if self.is_current { std::mem::take(&mut self.held) } else { Vec::new() }
    }

    /// Nothing more comes, as where the last revision was removed by hand: gives what there is, or none if there is nothing.
    fn end(&mut self) -> Option<Vec<E>> {
        self.is_current = !self.held.is_empty();
        self.is_current.then(|| std::mem::take(&mut self.held))
    }
}

fn is_missing(error: &KeyValueError) -> bool {
    let stream = error.source().and_then(|source| source.downcast_ref::<GetStreamError>());
    matches!(
        stream.map(GetStreamError::kind),
        Some(GetStreamErrorKind::JetStream(cause)) if cause.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND
    )
}

fn unreachable(error: impl Into<Box<dyn Error + Send + Sync>>) -> DefinitionsError {
    DefinitionsError::Bucket(error.into())
}

fn apply(performer: &Performer, entry: &Entry) -> Vec<Task> {
    match entry.operation {
        Operation::Put => match GroupDefinition::decode(&entry.value) {
            Ok(definition) => {
                tracing::info!(group = definition.name, csps = definition.csps.len(), "group known");
                performer.router.define(definition, performer.clock.monotonic_ms())
            }
            Err(error) => {
                tracing::error!(group = entry.key, %error, "a definition cannot be read and is left out");
                Vec::new()
            }
        },
        Operation::Delete | Operation::Purge => {
            tracing::info!(group = entry.key, "group gone");
            performer.router.remove(&entry.key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reading;

    #[test]
    fn what_an_old_replica_tells_is_not_believed_before_it_has_caught_up() {
        let mut reading = Reading::new(7);
        assert!(reading.take(2, "without pools").is_empty() && !reading.is_current());
        assert_eq!(reading.take(7, "with pools"), ["without pools", "with pools"]);
        assert!(reading.is_current());
        assert_eq!(reading.take(8, "with others"), ["with others"]);
    }

    #[test]
    fn an_empty_bucket_is_current_at_once() {
        let mut reading = Reading::new(0);
        assert!(reading.is_current());
        assert_eq!(reading.take(1, "first"), ["first"]);
    }

    #[test]
    fn a_last_revision_that_is_gone_is_not_waited_for_for_ever() {
        let mut reading = Reading::new(7);
        assert!(reading.end().is_none() && !reading.is_current(), "there is something, and it was not told");
        reading.take(2, "all that is left");
        assert_eq!(reading.end(), Some(vec!["all that is left"]));
        assert!(reading.is_current());
    }
}
