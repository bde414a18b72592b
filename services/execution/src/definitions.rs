//! Learns the groups from the definitions bucket: a watch that is set up again whenever it ends, and a look-up for requests
//! that are faster than the watch.

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

/// First pause before the watch is set up again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why the bucket could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// Nobody has made the bucket yet: no group was ever defined.
    #[error("there is no definitions bucket yet")]
    Missing,
    /// JetStream does not answer.
    #[error("the definitions bucket cannot be reached")]
    Bucket(#[source] Box<dyn Error + Send + Sync>),
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
        let empty = bucket.status().await.map_err(unreachable)?.values() == 0;
        let mut watch = bucket.watch_with_history(">").await.map_err(unreachable)?;
        // An empty bucket sends no marker for "this was all".
        if empty {
            loaded.send_replace(true);
        }
        while let Some(entry) = watch.next().await {
            let entry = entry.map_err(unreachable)?;
            performer.perform(apply(performer, &entry)).await;
            if entry.seen_current {
                loaded.send_replace(true);
            }
        }
        Ok(())
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
