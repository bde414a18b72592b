//! Does what the rules want done. Everything that brings news to the router hands the tasks that follow to this.

use crate::forward::Forwarder;
use crate::model::effect::Cause;
use crate::model::probe::ProbeOutcome;
use crate::model::request::Refusal;
use crate::router::{Question, Router, Task};
use async_nats::{Client, RequestErrorKind};
use futures::FutureExt;
use futures::future::BoxFuture;
use holdfast_foundation::clock::Clock;
use holdfast_schemas::message::{Hint, StatusRequest};
use holdfast_schemas::{Message as _, subject};
use std::sync::Arc;
use std::time::Duration;

/// Does tasks.
#[derive(Clone)]
pub struct Performer {
    /// The way out.
    pub forwarder: Arc<Forwarder>,
    /// Where outcomes of questions go.
    pub router: Arc<Router>,
    /// The connection on which questions are asked.
    pub client: Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long the answer to a question is awaited.
    pub probe_timeout: Duration,
}

impl Performer {
    /// Does them in their order. Questions are asked in tasks of their own.
    pub async fn perform(&self, tasks: Vec<Task>) {
        for task in tasks {
            self.perform_one(task).await;
        }
    }

    /// Does one.
    pub async fn perform_one(&self, task: Task) {
        match task {
            Task::Send(parcel) => self.forwarder.forward(parcel).await,
            Task::Refuse { envelope, code, message, retry_after_ms } => {
                let refusal = Refusal { id: Some(envelope.id.clone()), code, message };
                self.forwarder.refuse(envelope.message.reply.clone(), refusal, retry_after_ms).await;
            }
            Task::Probe(question) => drop(tokio::spawn(self.clone().ask(question))),
            Task::Vanished { group, csp, cause, requests } => self.vanished(group, csp, cause, requests).await,
        }
    }

    async fn vanished(&self, group: String, csp: String, cause: Cause, requests: usize) {
        tracing::info!(group, csp, %cause, requests, "what a CSP had is lost or may be: it is sent again");
        // The other causes come from supervision, or are seen by it just as well.
        if cause == Cause::NoResponders {
            self.forwarder.hint(Hint { group, csp, evidence: cause.to_string() }).await;
        }
    }

    /// Boxed, because what follows from an answer may be another question.
    fn ask(self, question: Question) -> BoxFuture<'static, ()> {
        let asked = async move {
            let outcome = self.found(&question).await;
            let tasks = self.router.probed(&question, outcome, self.clock.monotonic_ms());
            self.perform(tasks).await;
        };
        asked.boxed()
    }

    async fn found(&self, question: &Question) -> ProbeOutcome {
        let to = subject::csp_status(&question.group, &question.csp);
        let request = async_nats::Request::new()
            .payload(StatusRequest::default().encode().into())
            .timeout(Some(self.probe_timeout));
        match self.client.send_request(to, request).await {
            Err(error) if error.kind() == RequestErrorKind::NoResponders => ProbeOutcome::NoResponders,
            Ok(_) | Err(_) => ProbeOutcome::Unsettled,
        }
    }
}
