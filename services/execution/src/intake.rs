//! Takes requests in: one loop per subject, in which a request is checked, routed and sent on without a task of its own.

use crate::forward::{self, Envelope, Forwarder};
use crate::model::request::{self, Kind, Refusal, Request};
use crate::model::route::Need;
use crate::router::Router;
use crate::waiting::{Waiter, WaitingRoom};
use async_nats::{Message, Subscriber};
use futures::StreamExt;
use holdfast_foundation::clock::Clock;
use holdfast_schemas::ErrorCode;
use std::future::Future;
use std::sync::Arc;

/// Everything that a request meets on its way.
#[derive(Clone)]
pub struct Intake {
    /// Where to.
    pub router: Arc<Router>,
    /// The way out.
    pub forwarder: Arc<Forwarder>,
    /// Where requests wait that have no CSP now.
    pub waiting: Arc<WaitingRoom>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Intake {
    /// Serves a subscription until `stop`, and then whatever the server had already sent.
    pub async fn run(self, kind: Kind, mut requests: Subscriber, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                message = requests.next() => match message {
                    Some(message) => self.take(kind, message).await,
                    None => return,
                },
                () = &mut stop => break,
            }
        }
        if let Err(error) = requests.drain().await {
            tracing::warn!(%error, "a subscription could not be drained");
            return;
        }
        while let Some(message) = requests.next().await {
            self.take(kind, message).await;
        }
    }

    async fn take(&self, kind: Kind, message: Message) {
        if kind == Kind::Query && message.reply.is_none() {
            tracing::debug!(subject = %message.subject, "a query without a reply subject was dropped");
            return;
        }
        match seen(kind, &message) {
            Ok((id, request)) => {
                let deadline_at_ms = self.clock.now_ms().saturating_add(request.deadline_ms);
                self.send(Envelope { message, id, deadline_at_ms }, request.need).await;
            }
            Err(refusal) => self.forwarder.refuse(&message, refusal).await,
        }
    }

    async fn send(&self, envelope: Envelope, need: Need) {
        let Some(group) = group_of(&envelope.message) else {
            let refusal = Refusal {
                id: Some(envelope.id),
                code: ErrorCode::InvalidRequest,
                message: "the subject names no group".to_owned(),
            };
            return self.forwarder.refuse(&envelope.message, refusal).await;
        };
        match self.router.route(group, need, self.clock.monotonic_ms()) {
            Ok(destination) => self.forwarder.forward(envelope, destination).await,
            Err(reason) => {
                let group = group.to_owned();
                self.waiting.enter(Waiter { envelope, group, need }, reason).await;
            }
        }
    }
}

/// The one look at a request: its id, and what its routing needs.
fn seen(kind: Kind, message: &Message) -> Result<(String, Request), Refusal> {
    let mut request = request::read(kind, &message.payload)?;
    let id = forward::id_for(message, &mut request)?;
    Ok((id, request))
}

/// The group in `<prefix>.<group>.<verb>`.
fn group_of(message: &Message) -> Option<&str> {
    message.subject.as_str().split('.').nth(1)
}
