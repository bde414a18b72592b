//! Reads the log in order, from a given position on.
//!
//! The client library has consumers that make themselves anew behind the last message whenever they are lost. That hides a log
//! that went back and has grown again. So a subscription here is one consumer, for as long as the server keeps it, which is in
//! memory and dies with the server; when anything was lost it ends, and [`Subscription::open`] compares the log with what the
//! copy has applied before it delivers anything. The consumer is made before that, so what it delivers comes from a log that
//! went on where the copy is.

use std::time::Duration;

use async_nats::jetstream::consumer::push;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Info, RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{HeaderMap, Message, Subscriber};
use futures::StreamExt;
use futures::stream::ReadyChunks;
use tokio::time::Instant;
use tracing::debug;

use super::error::LogError;
use crate::model::{KnownLog, LogMark, LogMessage, Position, Sight, Unfit};

/// Most messages handed out at once.
const CHUNK: usize = 512;
/// How long subscribing may take: a server without a leader for the stream does not answer, the next attempt may meet another.
const OPEN_MAX: Duration = Duration::from_secs(1);
/// A server that has just become the leader of a stream of several may answer before it has put away the last acknowledged
/// messages. A log that still ends too early after this many looks has lost them.
const LOOKS: u32 = 20;
/// So many looks must find no stream at all: a server that starts may answer before it has found its streams.
const LOOKS_FOR_MISSING: u32 = 6;
/// Between two such looks.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// How often the server says that the consumer is there when it has nothing to deliver.
const IDLE_HEARTBEAT: Duration = Duration::from_secs(1);
/// A consumer that was silent for so long is lost.
const HEARTBEATS_LOST: Duration = Duration::from_secs(3);
/// How long the server keeps the consumer when nobody listens to it.
const CONSUMER_KEPT: Duration = Duration::from_secs(30);
/// Where the server wants to know that what it sent was read, before it sends more.
const STALLED: &str = "Nats-Consumer-Stalled";
/// The number of the last message that the consumer delivered.
const LAST_DELIVERED: &str = "Nats-Last-Consumer";

/// A subscription to the log.
pub struct Subscription {
    messages: ReadyChunks<Subscriber>,
    context: jetstream::Context,
    stream: String,
    next: Position,
    /// Something behind `next` was delivered, and `next` was not.
    has_gap: bool,
    /// The consumer's own number of the last message that it delivered.
    delivered: u64,
    heard_at: Instant,
    sight: Sight,
}

impl Subscription {
    /// Subscribes from `next` on, after comparing the stream with what the copy knows of its log.
    ///
    /// # Errors
    /// See [`LogError`].
    pub async fn open(
        context: &jetstream::Context,
        stream: &str,
        next: Position,
        known: &KnownLog,
    ) -> Result<Self, LogError> {
        let mut looks = 0;
        loop {
            looks += 1;
            let mut replicas = 1;
            let opening = Self::ask(context, stream, next, known, &mut replicas);
            let result = match tokio::time::timeout(OPEN_MAX, opening).await {
                Ok(result) => result,
                Err(elapsed) => Err(unavailable(stream, elapsed)),
            };
            let again = match &result {
                Err(LogError::Unfit(Unfit::WentBack { .. } | Unfit::Differs { .. } | Unfit::Absent { .. })) => {
                    replicas > 1 && looks < LOOKS
                }
                Err(LogError::Missing { .. }) => looks < LOOKS_FOR_MISSING,
                _ => false,
            };
            if !again {
                return result;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    async fn ask(
        context: &jetstream::Context,
        stream: &str,
        next: Position,
        known: &KnownLog,
        replicas: &mut usize,
    ) -> Result<Self, LogError> {
        let log = find(context, stream).await?;
        let info = log.cached_info();
        *replicas = info.config.num_replicas;
        let sight = sight_of(info);
        known.compare(&sight)?;
        if sight.first > next {
            return Err(LogError::of_gap(stream, sight.first, next));
        }
        let client = context.client();
        let deliver_subject = client.new_inbox();
        let messages = client.subscribe(deliver_subject.clone()).await.map_err(|error| unavailable(stream, error))?;
        log.create_consumer(configuration(deliver_subject, next)).await.map_err(|error| unavailable(stream, error))?;
        if let Some(position) = known.to_compare(&sight) {
            known.compare_mark(mark_at(&log, stream, position).await?)?;
        }
        Ok(Self {
            messages: messages.ready_chunks(CHUNK),
            context: context.clone(),
            stream: stream.to_owned(),
            next,
            has_gap: false,
            delivered: 0,
            heard_at: Instant::now(),
            sight,
        })
    }

    /// The last position of the stream when this was opened.
    #[must_use]
    pub fn end(&self) -> Position {
        self.sight.last
    }

    /// When the stream was made, in microseconds since 1970.
    #[must_use]
    pub fn created_us(&self) -> u64 {
        self.sight.created_us
    }

    /// The messages that are there, at least one, in order and without a gap.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] or [`LogError::Unreadable`] on a gap, after what came before it was handed out;
    /// [`LogError::Interrupted`] when the server keeps the consumer no more.
    pub async fn next(&mut self) -> Result<Vec<LogMessage>, LogError> {
        loop {
            if self.has_gap {
                return Err(self.explain_gap().await);
            }
            let lost_at = self.heard_at + HEARTBEATS_LOST;
            let chunk = match tokio::time::timeout_at(lost_at, self.messages.next()).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) | Err(_) => return Err(LogError::Interrupted),
            };
            self.heard_at = Instant::now();
            let mut messages = Vec::with_capacity(chunk.len());
            for message in chunk {
                if is_delivery(&message) {
                    messages.extend(self.accept(message)?);
                } else {
                    self.heed(&message)?;
                }
            }
            if !messages.is_empty() {
                return Ok(messages);
            }
        }
    }

    /// Takes a message of the log. Whatever somebody put into its headers, it is one: the server's own words come without the
    /// reply subject that tells a message's place.
    fn accept(&mut self, message: Message) -> Result<Option<LogMessage>, LogError> {
        let message = jetstream::Message { message, context: self.context.clone() };
        let Ok(info) = message.info() else { return Err(LogError::Interrupted) };
        if info.consumer_sequence != self.delivered + 1 {
            debug!(
                expected = self.delivered + 1,
                found = info.consumer_sequence,
                "messages of the log were lost on the way"
            );
            return Err(LogError::Interrupted);
        }
        self.delivered += 1;
        let position = info.stream_sequence;
        if position < self.next {
            return Ok(None);
        }
        if position > self.next {
            self.has_gap = true;
            return Ok(None);
        }
        self.next += 1;
        let timestamp_us = u64::try_from(info.published.unix_timestamp_nanos() / 1_000).unwrap_or_default();
        Ok(Some(LogMessage { position, timestamp_us, payload: message.message.payload }))
    }

    /// The stream was trimmed since this was opened, or it cannot give what stands there.
    async fn explain_gap(&self) -> LogError {
        match tokio::time::timeout(OPEN_MAX, find(&self.context, &self.stream)).await {
            Ok(Ok(log)) => LogError::of_gap(&self.stream, sight_of(log.cached_info()).first, self.next),
            Ok(Err(error)) => error,
            Err(elapsed) => unavailable(&self.stream, elapsed),
        }
    }

    /// Follows what the server says about the consumer.
    fn heed(&self, message: &Message) -> Result<(), LogError> {
        let header = |name: &str| message.headers.as_ref().and_then(|headers: &HeaderMap| headers.get(name));
        let stalled = header(STALLED).map(|subject| subject.as_str().to_owned());
        if let Some(subject) = message.reply.as_ref().map(ToString::to_string).or(stalled) {
            let client = self.context.client();
            // In a task of its own: giving up the wait for messages must not lose those that were taken with this one. If the
            // word is lost the server says again that it waits.
            tokio::spawn(async move { drop(client.publish(subject, bytes::Bytes::new()).await) });
        }
        let last = header(LAST_DELIVERED).and_then(|last| last.as_str().parse::<u64>().ok());
        if last.is_some_and(|last| last != self.delivered) { Err(LogError::Interrupted) } else { Ok(()) }
    }
}

fn is_delivery(message: &Message) -> bool {
    message.reply.as_ref().is_some_and(|reply| reply.starts_with("$JS.ACK."))
}

fn configuration(deliver_subject: String, next: Position) -> push::Config {
    push::Config {
        deliver_subject,
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: next },
        ack_policy: AckPolicy::None,
        max_deliver: 1,
        flow_control: true,
        idle_heartbeat: IDLE_HEARTBEAT,
        inactive_threshold: CONSUMER_KEPT,
        num_replicas: 1,
        memory_storage: true,
        ..push::Config::default()
    }
}

/// The stream, as its leader describes it now.
///
/// # Errors
/// [`LogError::Missing`] if JetStream says that there is none.
pub async fn find(context: &jetstream::Context, stream: &str) -> Result<Stream, LogError> {
    context.get_stream(stream).await.map_err(|error| match error.kind() {
        GetStreamErrorKind::JetStream(refusal) if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            LogError::Missing { stream: stream.to_owned() }
        }
        _ => unavailable(stream, error),
    })
}

/// What the stream shows of itself.
pub fn sight_of(info: &Info) -> Sight {
    Sight {
        created_us: u64::try_from(info.created.unix_timestamp_nanos() / 1_000).unwrap_or_default(),
        first: info.state.first_sequence,
        last: info.state.last_sequence,
    }
}

/// The mark of the message at a position, as the stream's leader has it; none if nothing stands there.
async fn mark_at(log: &Stream, stream: &str, position: Position) -> Result<Option<LogMark>, LogError> {
    match log.get_raw_message(position).await {
        Ok(found) => {
            let timestamp_us = u64::try_from(found.time.unix_timestamp_nanos() / 1_000).unwrap_or_default();
            Ok(Some(LogMark::of(&LogMessage { position, timestamp_us, payload: found.payload })))
        }
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unavailable(stream, error)),
    }
}

fn unavailable(stream: &str, source: impl Into<async_nats::Error>) -> LogError {
    LogError::Unavailable { stream: stream.to_owned(), source: source.into() }
}
