//! Sends a request on to a CSP, and answers the ones that do not travel on.
//!
//! The body is passed as the bytes that came; the headers of the client are kept and ours are added. Sending means handing
//! the message to the connection: nobody waits for the CSP here, whose answer goes straight to the client.

use crate::model::request::{self, Refusal, Request};
use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use holdfast_schemas::message::ErrorReply;
use holdfast_schemas::{ErrorCode, Message as _, header, limits};
use std::sync::atomic::{AtomicU64, Ordering};

const ID: HeaderName = HeaderName::from_static(header::ID);
const ATTEMPT: HeaderName = HeaderName::from_static(header::ATTEMPT);
const DEADLINE: HeaderName = HeaderName::from_static(header::DEADLINE);
const DISPOSITION: HeaderName = HeaderName::from_static(header::DISPOSITION);

/// What was done, told when the service ends.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests handed to a CSP.
    pub forwarded: AtomicU64,
    /// Requests answered here with an error.
    pub refused: AtomicU64,
    /// Requests that had to wait for a CSP.
    pub waited: AtomicU64,
}

/// A request with all that its CSP has to be told.
pub struct Envelope {
    /// The message as it came.
    pub message: Message,
    /// The id that it bears from here on.
    pub id: String,
    /// When its answer stops mattering, in milliseconds since 1970.
    pub deadline_at_ms: u64,
}

/// The id under which a request goes on: the body's, else the header's, else a new one.
pub fn id_for(message: &Message, request: &mut Request) -> Result<String, Refusal> {
    match request.id.take().or_else(|| header_id(message)) {
        Some(id) if request::id_fits(&id) => Ok(id),
        Some(_) => Err(bad_header_id()),
        None => Ok(ulid::Ulid::generate().to_string()),
    }
}

fn header_id(message: &Message) -> Option<String> {
    let value = message.headers.as_ref()?.get(ID)?;
    Some(value.as_str().to_owned())
}

/// The way out of this service.
pub struct Forwarder {
    client: Client,
    /// What was done so far.
    pub counters: Counters,
}

impl Forwarder {
    /// Sends over this connection.
    pub fn new(client: Client) -> Self {
        Self { client, counters: Counters::default() }
    }

    /// Hands the request to the CSP that listens on `destination`.
    pub async fn forward(&self, envelope: Envelope, destination: Subject) {
        let Envelope { message, id, deadline_at_ms } = envelope;
        let mut headers = message.headers.unwrap_or_default();
        headers.insert(ID, HeaderValue::from(id));
        headers.insert(DEADLINE, HeaderValue::from(deadline_at_ms));
        headers.insert(ATTEMPT, HeaderValue::from("1"));
        headers.insert(DISPOSITION, HeaderValue::from(header::DISPOSITION_NORMAL));
        let sent = self.send(destination, message.reply, headers, message.payload).await;
        match sent {
            Ok(()) => {
                self.counters.forwarded.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tracing::warn!(%error, "a request could not be handed to the connection"),
        }
    }

    async fn send(
        &self,
        destination: Subject,
        reply: Option<Subject>,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), async_nats::PublishError> {
        match reply {
            Some(reply) => self.client.publish_with_reply_and_headers(destination, reply, headers, payload).await,
            None => self.client.publish_with_headers(destination, headers, payload).await,
        }
    }

    /// Answers the client with an error. Without a reply subject there is nobody to be told.
    pub async fn refuse(&self, message: &Message, refusal: Refusal) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(subject = %message.subject, code = %refusal.code, reason = refusal.message, "request refused");
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let body = ErrorReply::new(refusal.id, refusal.code, refusal.message).encode();
        if let Err(error) = self.client.publish(reply, body.into()).await {
            tracing::warn!(%error, "an error reply could not be handed to the connection");
        }
    }

    /// Answers a request that could not be sent on, by code.
    pub async fn refuse_envelope(&self, envelope: Envelope, code: ErrorCode, message: String) {
        let refusal = Refusal { id: Some(envelope.id), code, message };
        self.refuse(&envelope.message, refusal).await;
    }
}

fn bad_header_id() -> Refusal {
    let message = format!(
        "the header {} must have 1 to {} printable ASCII characters without blanks",
        header::ID,
        limits::MAX_ID_BYTES
    );
    Refusal { id: None, code: ErrorCode::InvalidRequest, message }
}
