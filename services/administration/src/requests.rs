//! From a message to its answer: decode, carry out, encode.

use crate::define;
use crate::definitions::Definitions;
use crate::error::RequestError;
use crate::gather;
use async_nats::Message as NatsMessage;
use holdfast_foundation::bus::Bus;
use holdfast_schemas::message::ErrorReply;
use holdfast_schemas::message::{GroupDefineRequest, GroupListReply, GroupListRequest, GroupStatusRequest};
use holdfast_schemas::{ErrorCode, Message};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What can be asked about groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Define a group.
    Define,
    /// List the groups.
    List,
    /// Say how a group is.
    Status,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Define, Self::List, Self::Status];

    /// As it stands in the subject.
    pub fn name(self) -> &'static str {
        match self {
            Self::Define => "define",
            Self::List => "list",
            Self::Status => "status",
        }
    }
}

/// Who answers.
pub struct Administrator {
    /// The way to CSPs and clients.
    pub bus: Bus,
    /// The groups.
    pub definitions: Definitions,
    /// Notified when a group was defined.
    pub defined: Arc<Notify>,
    /// How long a CSP may take to say how it is.
    pub status_timeout: Duration,
}

impl Administrator {
    /// Answers one message.
    pub async fn answer(&self, verb: Verb, message: NatsMessage) {
        let Some(reply) = message.reply.clone() else {
            tracing::debug!(verb = verb.name(), "a request without a reply subject was dropped");
            return;
        };
        let body = match self.carry_out(verb, &message.payload).await {
            Ok(body) => body,
            Err(error) => {
                tracing::info!(verb = verb.name(), code = %error.code(), reason = error.sentence(), "request refused");
                ErrorReply::new(None, error.code(), error.sentence()).encode()
            }
        };
        if let Err(error) = self.bus.client().publish(reply, self.within_a_message(body).into()).await {
            tracing::warn!(%error, "an answer could not be handed to the connection");
        }
    }

    /// The answer, or in its place an error when it is larger than what NATS takes in one message.
    fn within_a_message(&self, body: Vec<u8>) -> Vec<u8> {
        let (bytes, limit) = (body.len(), self.bus.client().server_info().max_payload);
        if bytes <= limit {
            return body;
        }
        let message =
            format!("the answer has {bytes} bytes, and nats takes {limit} in one message: raise its max_payload");
        ErrorReply::new(None, ErrorCode::AnswerTooLarge, message).encode()
    }

    async fn carry_out(&self, verb: Verb, body: &[u8]) -> Result<Vec<u8>, RequestError> {
        match verb {
            Verb::Define => {
                let request = decode::<GroupDefineRequest>(body)?;
                let reply = define::define(self.bus.jetstream(), &self.definitions, request).await?;
                self.defined.notify_one();
                Ok(reply.encode())
            }
            Verb::List => {
                decode::<GroupListRequest>(body)?;
                let groups = self.definitions.read().await?.groups;
                Ok(GroupListReply { groups }.encode())
            }
            Verb::Status => {
                let group = decode::<GroupStatusRequest>(body)?.group;
                let status = gather::group_status(&self.bus, &self.definitions, &group, self.status_timeout);
                Ok(status.await?.encode())
            }
        }
    }
}

fn decode<T: Message>(body: &[u8]) -> Result<T, RequestError> {
    // `nats request holdfast.admin.group.list ""` should simply work.
    let body = if body.is_empty() { b"{}" } else { body };
    T::decode(body).map_err(|error| RequestError::refused(error.code(), error.to_string()))
}
