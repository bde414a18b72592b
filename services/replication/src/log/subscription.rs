//! Reads the log in order, from a given position on.
//!
//! An ordered consumer restarts by itself after a reconnect. It may deliver what was delivered before (dropped here), and it
//! skips silently over messages that the stream does not hold any more; so every sequence is compared with the one before.

use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::{self, Message};
use futures::StreamExt;
use futures::stream::ReadyChunks;
use tracing::warn;

use crate::model::{LogMessage, Position};

/// The log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no such stream, or it cannot be reached now. Nothing is harmed; try again.
    #[error("the log stream {stream} cannot be reached")]
    Unavailable {
        /// Name of the stream.
        stream: String,
        /// Why.
        #[source]
        source: async_nats::Error,
    },
    /// The stream begins behind what this copy needs next. Only a snapshot of another copy can help.
    #[error("the log begins at position {first}, and this copy needs {needed}")]
    Trimmed {
        /// First position that the stream holds.
        first: Position,
        /// The position that this copy needs.
        needed: Position,
    },
    /// The stream ends before what this copy has applied: it lost entries that were acknowledged, or it is another stream.
    #[error("the log ends at position {last}, and this copy has applied {applied}")]
    WentBack {
        /// Last position of the stream.
        last: Position,
        /// What this copy has applied.
        applied: Position,
    },
    /// The subscription ended.
    #[error("the subscription to the log ended")]
    Ended,
    /// The log goes on and the subscription delivers nothing. Nothing is harmed; subscribe anew.
    #[error("the log goes on, and the subscription delivers nothing")]
    Silent,
}

impl LogError {
    /// Whether a new subscription from the same position may go on where this one ended.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Ended | Self::Silent)
    }
}

/// Most messages handed out at once.
const CHUNK: usize = 512;
/// How long subscribing may take: a server without a leader for the stream does not answer, the next attempt may meet another.
const OPEN_MAX: Duration = Duration::from_secs(1);
/// A server that has just become the stream's leader may answer before it has put away the last acknowledged messages. A log
/// that still ends too early after this many looks has lost them.
const LOOKS: u32 = 20;
/// Between two such looks.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// An ordered subscription to the log.
pub struct Subscription {
    messages: ReadyChunks<Ordered>,
    next: Position,
    end: Position,
}

impl Subscription {
    /// Subscribes from `next` on, after checking that the stream holds it, or ends right before it.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn open(
        context: &jetstream::Context,
        client: &async_nats::Client,
        stream: &str,
        next: Position,
    ) -> Result<Self, LogError> {
        for _ in 1..LOOKS {
            match Self::open_now(context, client, stream, next).await {
                Err(LogError::WentBack { .. }) => tokio::time::sleep(LOOK_PAUSE).await,
                result => return result,
            }
        }
        Self::open_now(context, client, stream, next).await
    }

    async fn open_now(
        context: &jetstream::Context,
        client: &async_nats::Client,
        stream: &str,
        next: Position,
    ) -> Result<Self, LogError> {
        let opening = Self::ask(context, client, stream, next);
        let unavailable = |source| LogError::Unavailable { stream: stream.to_owned(), source };
        tokio::time::timeout(OPEN_MAX, opening).await.map_err(|elapsed| unavailable(elapsed.into()))?
    }

    async fn ask(
        context: &jetstream::Context,
        client: &async_nats::Client,
        stream: &str,
        next: Position,
    ) -> Result<Self, LogError> {
        let unavailable = |source: async_nats::Error| LogError::Unavailable { stream: stream.to_owned(), source };
        let mut log = context.get_stream(stream).await.map_err(|error| unavailable(error.into()))?;
        let state = log.info().await.map_err(|error| unavailable(error.into()))?.state.clone();
        let end = state.last_sequence;
        if end + 1 < next {
            return Err(LogError::WentBack { last: end, applied: next - 1 });
        }
        if state.first_sequence > next {
            return Err(LogError::Trimmed { first: state.first_sequence, needed: next });
        }
        let config = OrderedConfig {
            deliver_subject: client.new_inbox(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: next },
            ..OrderedConfig::default()
        };
        let consumer = log.create_consumer(config).await.map_err(|error| unavailable(error.into()))?;
        let messages = consumer.messages().await.map_err(|error| unavailable(error.into()))?;
        Ok(Self { messages: messages.ready_chunks(CHUNK), next, end })
    }

    /// The last position of the stream when this was opened.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// The messages that are there, at least one, in order and without a gap.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] on a gap, [`LogError::Ended`] when there will be no more.
    pub async fn next(&mut self) -> Result<Vec<LogMessage>, LogError> {
        loop {
            let chunk = self.messages.next().await.ok_or(LogError::Ended)?;
            let mut messages = Vec::with_capacity(chunk.len());
            for delivered in chunk {
                match delivered {
                    Ok(message) => messages.extend(self.accept(message)?),
                    // The consumer is being made anew; what it missed comes again.
                    Err(cause) => warn!(error = %cause, "the subscription to the log was interrupted"),
                }
            }
            if !messages.is_empty() {
                return Ok(messages);
            }
        }
    }

    fn accept(&mut self, message: Message) -> Result<Option<LogMessage>, LogError> {
        let Ok(info) = message.info() else {
            warn!("a message without a position was delivered as part of the log");
            return Ok(None);
        };
        let position = info.stream_sequence;
        if position < self.next {
            return Ok(None);
        }
        if position > self.next {
            return Err(LogError::Trimmed { first: position, needed: self.next });
        }
        self.next += 1;
        let timestamp_us = u64::try_from(info.published.unix_timestamp_nanos() / 1_000).unwrap_or_default();
        Ok(Some(LogMessage { position, timestamp_us, payload: message.message.payload }))
    }
}
