//! The definitions bucket: read as a whole, written only if nothing in it changed since.
//!
//! Whether a group may be defined depends on all other groups (a CSP belongs to one), so the write is guarded by the last
//! sequence of the whole bucket, not of its own key.

use async_nats::jetstream::kv::{self, Store};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode as StreamErrorCode};
use futures::TryStreamExt;
use holdfast_schemas::message::GroupDefinition;
use holdfast_schemas::{Message, subject};
use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the bucket could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionsError {
    /// The bucket cannot be reached or made. Nothing was written; try again.
    #[error("the definitions bucket cannot be reached")]
    Unreachable(#[source] BoxError),
    /// Somebody else wrote in between. Nothing was written; judge again.
    #[error("the definitions changed meanwhile")]
    Changed,
    /// Whether it was written is not known. Ask again: a definition that is there is not written twice.
    #[error("the definitions bucket did not answer")]
    Unknown(#[source] BoxError),
    /// An entry is not a definition.
    #[error("the definition of group {group} cannot be read")]
    Unreadable {
        /// Whose.
        group: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}

/// All definitions as of one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The groups, by name; each with its revision.
    pub groups: Vec<GroupDefinition>,
    /// The bucket's last sequence before they were read.
    last_sequence: u64,
}

/// The definitions bucket.
#[derive(Clone)]
pub struct Definitions {
    jetstream: jetstream::Context,
    replicas: usize,
    /// As they were last read, by name.
    last: Arc<Mutex<HashMap<String, GroupDefinition>>>,
}

impl Definitions {
    /// The bucket behind this JetStream context, made with that many replicas when it is first needed.
    pub fn new(jetstream: jetstream::Context, replicas: usize) -> Self {
        Self { jetstream, replicas, last: Arc::default() }
    }

    /// Makes the bucket if it is not there.
    pub async fn ensure(&self) -> Result<Store, DefinitionsError> {
        let name = subject::definitions_bucket();
        if let Ok(bucket) = self.jetstream.get_key_value(&name).await {
            return Ok(bucket);
        }
        let config = kv::Config { bucket: name, history: 1, num_replicas: self.replicas, ..kv::Config::default() };
        self.jetstream.create_key_value(config).await.map_err(unreachable)
    }

    /// Reads all definitions.
    pub async fn read(&self) -> Result<Snapshot, DefinitionsError> {
        let bucket = self.ensure().await?;
        let last_sequence = bucket.stream.get_info().await.map_err(unreachable)?.state.last_sequence;
        let mut names: Vec<String> =
            bucket.keys().await.map_err(unreachable)?.try_collect().await.map_err(unreachable)?;
        names.sort();
        let mut groups = Vec::with_capacity(names.len());
        for name in names {
            groups.extend(read_one(&bucket, &name).await?);
        }
        *self.last() = groups.iter().map(|group| (group.name.clone(), group.clone())).collect();
        Ok(Snapshot { groups, last_sequence })
    }

    /// Reads one definition.
    pub async fn find(&self, group: &str) -> Result<Option<GroupDefinition>, DefinitionsError> {
        read_one(&self.ensure().await?, group).await
    }

    /// Reads one definition, or gives it as it was last read if the bucket does not answer within `bound`. While JetStream is away,
    /// the state of a group is what somebody wants to know most.
    pub async fn find_or_last(
        &self,
        group: &str,
        bound: Duration,
    ) -> Result<Option<GroupDefinition>, DefinitionsError> {
        let last = self.last().get(group).cloned();
        let read = match last {
            Some(last) => match timeout(bound, self.find(group)).await {
                Ok(Ok(read)) => read,
                // Somebody else may have read a newer one meanwhile, which stays.
                Ok(Err(_)) | Err(_) => return Ok(Some(last)),
            },
            None => self.find(group).await?,
        };
        match &read {
            Some(definition) => self.last().insert(group.to_owned(), definition.clone()),
            None => self.last().remove(group),
        };
        Ok(read)
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, GroupDefinition>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a definition that was judged beside `snapshot`; returns it with its revision.
    pub async fn write(
        &self,
        snapshot: &Snapshot,
        mut definition: GroupDefinition,
    ) -> Result<GroupDefinition, DefinitionsError> {
        let bucket = self.ensure().await?;
        definition.revision = None;
        let body = definition.encode();
        let message = PublishMessage::build().payload(body.into()).expected_last_sequence(snapshot.last_sequence);
        let key = format!("{}{}", bucket.prefix, definition.name);
        let ack = self.jetstream.send_publish(key, message).await.map_err(write_error)?;
        let revision = ack.await.map_err(write_error)?.sequence;
        definition.revision = Some(revision);
        Ok(definition)
    }
}

async fn read_one(bucket: &Store, group: &str) -> Result<Option<GroupDefinition>, DefinitionsError> {
    let entry = bucket.entry(group).await.map_err(unreachable)?;
    let Some(entry) = entry.filter(|entry| entry.operation == kv::Operation::Put) else {
        return Ok(None);
    };
    let mut definition = GroupDefinition::decode(&entry.value)
        .map_err(|error| DefinitionsError::Unreadable { group: group.to_owned(), source: error.into() })?;
    definition.revision = Some(entry.revision);
    Ok(Some(definition))
}

fn unreachable(error: impl Into<BoxError>) -> DefinitionsError {
    DefinitionsError::Unreachable(error.into())
}

fn write_error(error: jetstream::context::PublishError) -> DefinitionsError {
    if lost_race(&error) { DefinitionsError::Changed } else { DefinitionsError::Unknown(error.into()) }
}

/// Whether a publish failed because the expected sequence was not the last one. There are two codes for it, and the client
/// library knows one of them.
pub fn lost_race(error: &jetstream::context::PublishError) -> bool {
    let code =
        error.source().and_then(|source| source.downcast_ref::<jetstream::Error>()).map(jetstream::Error::error_code);
    error.kind() == jetstream::context::PublishErrorKind::WrongLastSequence
        || code == Some(StreamErrorCode::STREAM_WRONG_LAST_SEQUENCE)
        || code == Some(StreamErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}
