//! The way out of this service: sends requests to CSPs, and answers the ones that do not travel on.
//!
//! The body is passed as the bytes that came; the headers of the client are kept and ours are added. Sending means handing
//! the message to the connection: nobody waits for the CSP here, whose answer goes straight to the client.

use crate::envelope::Stamp;
use crate::model::request::Refusal;
use crate::router::Parcel;
use async_nats::{Client, Subject};
use holdfast_schemas::Message as _;
use holdfast_schemas::header::{SentAt, TimeLeft};
use holdfast_schemas::message::{ErrorReply, Hint};
use holdfast_schemas::subject;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was done, told when the service ends.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests handed to a CSP for the first time.
    pub forwarded: AtomicU64,
    /// Requests handed to a further CSP.
    pub sent_again: AtomicU64,
    /// Requests answered here with an error.
    pub refused: AtomicU64,
    /// Requests that had to wait for a CSP when they came.
    pub waited: AtomicU64,
}

/// The way out of this service.
pub struct Forwarder {
    client: Client,
    instance: String,
    /// What was done so far.
    pub counters: Counters,
}

impl Forwarder {
    /// Sends over this connection; CSPs report to this instance.
    pub fn new(client: Client, instance: String) -> Self {
        Self { client, instance, counters: Counters::default() }
    }

    /// Hands a request to the CSP that it is addressed to.
    pub async fn forward(&self, parcel: Parcel) {
        let Parcel { destination, envelope, number, attempt, is_recovery, asks, refuses, left_ms, sent_at } = parcel;
        let sent_at = sent_at.as_ref().map(|(clock_ms, incarnation)| SentAt { clock_ms: *clock_ms, incarnation });
        let time_left = TimeLeft { left_ms, sent_at };
        let stamp = Stamp { instance: &self.instance, number, attempt, is_recovery, asks, refuses, time_left };
        let headers = envelope.headers(stamp);
        let payload = envelope.message.payload.clone();
        let sent = match envelope.message.reply.clone() {
            Some(reply) => self.client.publish_with_reply_and_headers(destination, reply, headers, payload).await,
            None => self.client.publish_with_headers(destination, headers, payload).await,
        };
        let counter = if attempt > 1 { &self.counters.sent_again } else { &self.counters.forwarded };
        match sent {
            Ok(()) => {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(%error, "a request could not be handed to the connection"),
        }
    }

    /// Answers the client with an error. Without a reply subject there is nobody to be told.
    pub async fn refuse(&self, reply: Option<Subject>, refusal: Refusal, retry_after_ms: Option<u64>) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(id = refusal.id, code = %refusal.code, reason = refusal.message, "request refused");
        let Some(reply) = reply else {
            return;
        };
        let mut answer = ErrorReply::new(refusal.id, refusal.code, refusal.message);
        answer.error.retry_after_ms = retry_after_ms;
        if let Err(error) = self.client.publish(reply, answer.encode().into()).await {
            tracing::warn!(%error, "an error reply could not be handed to the connection");
        }
    }

    /// Asks the supervisors to look at a CSP.
    pub async fn hint(&self, hint: Hint) {
        if let Err(error) = self.client.publish(subject::hint(), hint.encode().into()).await {
            tracing::warn!(%error, "a hint could not be handed to the connection");
        }
    }
}
