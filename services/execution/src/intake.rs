//! Takes requests in: one loop per subject, in which a request is checked, routed and sent on without a task of its own.

use crate::envelope::Envelope;
use crate::lookup::Lookup;
use crate::model::request::{self, Kind, Refusal, Verb};
use crate::model::traffic::{Arrival, Condemned};
use crate::perform::Performer;
use async_nats::Message;
use holdfast_foundation::bus::pauses::Pauses;
use holdfast_foundation::bus::requests::Requests;
use holdfast_schemas::ErrorCode;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Everything that a request meets on its way.
#[derive(Clone)]
pub struct Intake {
    /// The router, and what does its tasks.
    pub performer: Performer,
    /// Where requests wait whose group is not in the table.
    pub lookup: Arc<Lookup>,
    /// For how long a request may have lain in our inbox.
    pub pauses: Arc<Pauses>,
}

impl Intake {
    /// Serves a subscription until `stop`, and then whatever the server had already sent.
    pub async fn run(self, kind: Kind, mut requests: Requests, stop: impl Future<Output = ()>) {
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
        if kind.is_for_its_answer() && message.reply.is_none() {
            tracing::debug!(subject = %message.subject, "a request for an answer without a reply subject was dropped");
            return;
        }
        let reply = message.reply.clone();
        match self.arrival(kind, message) {
            Ok((group, arrival)) => self.route(group, arrival).await,
            Err(refusal) => self.performer.forwarder.refuse(reply, refusal, None).await,
        }
    }

    /// The one look at a request.
    fn arrival(&self, kind: Kind, message: Message) -> Result<(String, Arrival<Envelope>), Refusal> {
        let mut request = request::read(kind, &message.payload)?;
        let utc_ms = self.performer.clock.now_ms();
        let envelope = Envelope::new(kind, message, &mut request, self.performer.clock.monotonic_ms())?;
        let Some(group) = group_of(&envelope.message) else {
            let message = "the subject names no group".to_owned();
            return Err(Refusal { id: Some(envelope.id), code: ErrorCode::InvalidRequest, message });
        };
        // It counts from when it was sent; we know only that it may have come while this process stood still.
        let deadline_ms = request.deadline_ms.saturating_sub(self.pauses.lain_ms());
        if deadline_ms == 0 {
            let message = "it may have lain here for longer than its time, and nothing was done: send it again";
            let (id, code) = (Some(envelope.id), ErrorCode::DeadlineExceeded);
            return Err(Refusal { id, code, message: message.to_owned() });
        }
        let arrival = Arrival {
            need: request.need,
            affinity: request.affinity,
            pool: request.pool,
            begins: kind.begins_transaction(),
            may_repeat: kind == Kind::Update && envelope.id_is_senders,
            utc_ms,
            holder: request.holder,
            condemned: match kind {
                Kind::Update => Condemned::ByItsId,
                Kind::Query | Kind::Transaction(Verb::Begin) => Condemned::Here,
                // Nobody but the CSP that is lost can carry it out; others only look for its outcome.
                Kind::Transaction(Verb::Execute | Verb::End(_)) | Kind::Lock(_) => Condemned::Never,
            },
            bytes: envelope.message.payload.len(),
            deadline_ms,
            has_reply: envelope.message.reply.is_some(),
            cargo: Arc::new(envelope),
        };
        Ok((group, arrival))
    }

    async fn route(&self, group: String, arrival: Arrival<Envelope>) {
        let now_ms = self.performer.clock.monotonic_ms();
        match self.performer.router.take(&group, arrival, now_ms) {
            Ok(Some(task)) => self.performer.perform_one(task).await,
            Ok(None) => {
                self.performer.forwarder.counters.waited.fetch_add(1, Ordering::Relaxed);
            }
            Err(arrival) => self.lookup.enter(group, arrival).await,
        }
    }
}

/// The group in `<prefix>.<group>.<verb>`.
fn group_of(message: &Message) -> Option<String> {
    message.subject.as_str().split('.').nth(1).map(str::to_owned)
}
