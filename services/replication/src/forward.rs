//! Hands the commit of a subscriber to the primary.
//!
//! SurrealDB writes on every copy (its list of nodes, leases, id windows), and in a primary group only the primary's entries
//! count. So a subscriber sends the write set to the primary, which publishes it like its own; the subscriber answers its
//! SurrealDB once it has applied the place that the primary names. Clients' updates do not come this way: they are routed
//! to the primary before they run. The commit of a transaction over several messages does, if another CSP became primary since
//! it began; its id, and what is kept with that, travel in the entry that is sent (`committer`).

mod parcel;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_schemas::subject;
use holdfast_storage::{CommitFailure, Committed, WriteSet};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::parcel::{Collector, pack};
use crate::committer::submit;
use crate::log::Gateway;
use crate::view::AppliedView;

/// How long the primary may take.
pub const PRIMARY_MAX: Duration = Duration::from_secs(10);

/// What the primary answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Outcome {
    /// More messages of the same write set are to come.
    More,
    Committed {
        position: u64,
        index: u32,
    },
    Conflict {
        position: u64,
    },
    TooOld,
    /// The id was committed before. Said of clients' transactions only.
    Duplicate {
        position: u64,
        index: u32,
    },
    /// Another CSP is the primary. Said of clients' transactions only.
    NotPrimary,
    Refused {
        reason: String,
    },
    Unknown {
        reason: String,
    },
}

/// Both ends of the way to the primary.
pub struct Forward {
    client: async_nats::Client,
    group: String,
    gateway: Arc<Gateway>,
    view: Arc<AppliedView>,
    message_max_bytes: usize,
    /// Numbers what is sent in more than one message; one such is on its way at a time.
    next_number: tokio::sync::Mutex<u64>,
    collector: Collector,
}

impl Forward {
    /// For a CSP of `group`.
    #[must_use]
    pub fn new(
        client: async_nats::Client,
        group: String,
        gateway: Arc<Gateway>,
        view: Arc<AppliedView>,
        message_max_bytes: usize,
    ) -> Self {
        let (next_number, collector) = (tokio::sync::Mutex::new(1), Collector::default());
        Self { client, group, gateway, view, message_max_bytes, next_number, collector }
    }

    /// On a subscriber: sends the write set, waits `bound` for the answer, and then until this copy has applied it too.
    ///
    /// # Errors
    /// See [`CommitFailure`].
    pub async fn commit(
        &self,
        primary: &str,
        write_set: &WriteSet,
        bound: Duration,
    ) -> Result<Committed, CommitFailure> {
        let deadline = Instant::now() + PRIMARY_MAX;
        match self.hand_over(primary, write_set, bound).await? {
            Ok(Outcome::More) => Err(CommitFailure::OutcomeUnknown("the primary waits for more".to_owned())),
            Ok(Outcome::Committed { position, index }) => {
                if self.view.reached(position, deadline).await {
                    Ok(Committed { position, index })
                } else {
                    Err(CommitFailure::OutcomeUnknown(
                        "it is committed, and this copy has not applied it yet".to_owned(),
                    ))
                }
            }
            Ok(Outcome::Conflict { position }) => Err(CommitFailure::Conflict { position }),
            Ok(Outcome::TooOld) => Err(CommitFailure::TooOld),
            Ok(Outcome::Duplicate { position, index }) => {
                // Whoever asks for the outcome looks at this copy for it.
                self.view.reached(position, deadline).await;
                Err(CommitFailure::Duplicate { first: Committed { position, index } })
            }
            Ok(Outcome::NotPrimary) => Err(CommitFailure::NotPrimary),
            Ok(Outcome::Refused { reason }) => Err(CommitFailure::Unavailable(reason)),
            Ok(Outcome::Unknown { reason }) => Err(CommitFailure::OutcomeUnknown(reason)),
            Err(error) => Err(CommitFailure::OutcomeUnknown(error.to_string())),
        }
    }

    /// Sends all of it. Gives the primary's last answer.
    async fn hand_over(
        &self,
        primary: &str,
        write_set: &WriteSet,
        bound: Duration,
    ) -> Result<Result<Outcome, serde_json::Error>, CommitFailure> {
        let (origin, limit) = (self.gateway.origin(), self.message_max_bytes);
        let messages = pack(write_set, origin, 1, limit)?;
        if let [message] = messages.as_slice() {
            return self.send(primary, message.clone(), bound).await;
        }
        let mut number = self.next_number.lock().await;
        let messages = pack(write_set, origin, *number, limit)?;
        *number += messages.len() as u64;
        let mut answer = Ok(Outcome::More);
        for message in messages {
            answer = self.send(primary, message, bound).await?;
            if !matches!(answer, Ok(Outcome::More)) {
                break;
            }
        }
        Ok(answer)
    }

    async fn send(
        &self,
        primary: &str,
        message: Bytes,
        bound: Duration,
    ) -> Result<Result<Outcome, serde_json::Error>, CommitFailure> {
        let request = async_nats::Request::new().payload(message).timeout(Some(bound));
        match self.client.send_request(subject::csp_commit(&self.group, primary), request).await {
            Ok(answer) => Ok(serde_json::from_slice(&answer.payload)),
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                Err(CommitFailure::Unavailable(format!("the primary {primary} does not answer")))
            }
            Err(error) => Err(CommitFailure::OutcomeUnknown(error.to_string())),
        }
    }

    /// On the primary: commits what a subscriber sent, and gives the answer to send back.
    pub async fn serve(&self, payload: Bytes) -> Vec<u8> {
        let outcome = match self.open(payload).await {
            Ok(None) => Outcome::More,
            Ok(Some(write_set)) => {
                let is_of_a_client = write_set.id().is_some();
                match submit(Arc::clone(&self.gateway), write_set).await {
                    Ok(committed) => Outcome::Committed { position: committed.position, index: committed.index },
                    Err(CommitFailure::Conflict { position }) => Outcome::Conflict { position },
                    Err(CommitFailure::TooOld) => Outcome::TooOld,
                    Err(CommitFailure::Duplicate { first }) => {
                        Outcome::Duplicate { position: first.position, index: first.index }
                    }
                    Err(CommitFailure::NotPrimary) if is_of_a_client => Outcome::NotPrimary,
                    Err(CommitFailure::OutcomeUnknown(reason)) => Outcome::Unknown { reason },
                    Err(other) => Outcome::Refused { reason: other.to_string() },
                }
            }
            Err(reason) => Outcome::Refused { reason },
        };
        serde_json::to_vec(&outcome).unwrap_or_default()
    }

    async fn open(&self, payload: Bytes) -> Result<Option<WriteSet>, String> {
        let Some(write_set) = self.collector.take(payload)? else { return Ok(None) };
        // The subscriber may be ahead of its primary in applying. An entry's base must not be below its snapshots.
        if !self.view.reached(write_set.snapshot, Instant::now() + PRIMARY_MAX / 2).await {
            return Err("the primary is behind the subscriber's snapshot".to_owned());
        }
        Ok(Some(write_set))
    }
}
