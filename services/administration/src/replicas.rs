//! Keeps what routing and supervision cannot do without on as many servers as the logs: the definitions, the states of CSPs, who holds
//! which task, and the events.
//!
//! Whoever needs one of these first makes it, on as many servers as its settings say, which is one where nobody set anything. If a
//! log is kept by three servers and the assignments by one, the loss of that one ends all failover. So all of them get as many
//! replicas as the log that asks for the most. They never get fewer: that a group is gone is no reason to give up what is there.

use crate::definitions::{Definitions, DefinitionsError};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{self, ErrorCode};
use holdfast_schemas::message::GroupDefinition;
use holdfast_schemas::subject;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A stream that is made later than the group is found within this.
const INTERVAL: Duration = Duration::from_secs(10);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a stream has fewer replicas than it should. It works, and it is tried again.
#[derive(Debug, thiserror::Error)]
enum ReplicasError {
    #[error("the groups are not known")]
    Definitions(#[from] DefinitionsError),
    #[error("the stream {stream} cannot be kept by {wanted} servers")]
    Stream {
        stream: String,
        wanted: usize,
        #[source]
        source: BoxError,
    },
}

/// Looks after the number of replicas.
pub struct Replicas {
    /// The way to the streams.
    pub jetstream: jetstream::Context,
    /// The groups.
    pub definitions: Definitions,
    /// As many there are at least.
    pub least: usize,
    /// To be notified when a group was defined.
    pub defined: Arc<Notify>,
}

impl Replicas {
    /// Looks now and then, for as long as it is polled.
    pub async fn keep(self) {
        let mut told = String::new();
        loop {
            // What cannot be done now is said once, and tried for as long as it takes.
            let now = self.raise_all().await.err().map(|error| holdfast_foundation::chain(&error)).unwrap_or_default();
            if now != told && !now.is_empty() {
                tracing::warn!(error = now, "what failover needs may be kept by fewer servers than the logs");
            }
            told = now;
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.defined.notified() => {}
            }
        }
    }

    async fn raise_all(&self) -> Result<(), ReplicasError> {
        let wanted = wanted(&self.definitions.read().await?.groups, self.least);
        let mut outcome = Ok(());
        for stream in streams() {
            // One that cannot be raised keeps none of the others from it.
            let raised = self.raise(&stream, wanted).await;
            outcome = outcome.and(raised.map_err(|source| ReplicasError::Stream { stream, wanted, source }));
        }
        outcome
    }

    async fn raise(&self, name: &str, wanted: usize) -> Result<(), BoxError> {
        let mut config = match self.jetstream.get_stream(name).await {
            Ok(stream) => stream.cached_info().config.clone(),
            Err(error) if is_missing(error.kind()) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if config.num_replicas >= wanted {
            return Ok(());
        }
        let before = config.num_replicas;
        config.num_replicas = wanted;
        self.jetstream.update_stream(config).await?;
        tracing::info!(stream = name, before, replicas = wanted, "kept by more servers now, as the logs are");
        Ok(())
    }
}

/// Whoever makes it later is found later.
fn is_missing(kind: GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn streams() -> [String; 4] {
    let bucket = |name| format!("KV_{name}");
    [
        bucket(subject::definitions_bucket()),
        bucket(subject::states_bucket()),
        bucket(subject::assignments_bucket()),
        subject::events_stream(),
    ]
}

/// As many as the log that asks for the most.
fn wanted(groups: &[GroupDefinition], least: usize) -> usize {
    groups.iter().map(|group| usize::from(group.log_replicas)).chain([least]).max().unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_get_as_many_as_the_log_that_asks_for_the_most() {
        let group = |replicas| GroupDefinition { log_replicas: replicas, ..GroupDefinition::new("a", ["csp-1"]) };
        assert_eq!(wanted(&[], 1), 1);
        assert_eq!(wanted(&[group(1), group(3), group(1)], 1), 3);
        assert_eq!(wanted(&[group(1)], 5), 5, "never fewer than somebody set");
    }
}
