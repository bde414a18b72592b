//! A client as an application would write one: plain NATS requests with JSON in them.

mod inbox;
mod lock;
mod outcome;
mod request;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use async_nats::client::RequestErrorKind;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use tokio::time::Instant;

pub use inbox::LateAnswer;
use inbox::{Inbox, NoAnswer};
pub use outcome::{Outcome, Refusal, Reply};
pub use request::Request;
pub use transaction::Transaction;

/// Pause before a request is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// A connection and the group that it speaks to.
#[derive(Clone, Debug)]
pub struct Client {
    nats: async_nats::Client,
    group: String,
    inbox: Option<Arc<Inbox>>,
}

impl Client {
    /// Connects, and reconnects for as long as it lives.
    pub async fn connect(urls: &[String], group: &str) -> anyhow::Result<Self> {
        let nats = async_nats::ConnectOptions::new()
            .name("holdfast-tests")
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .connection_timeout(Duration::from_secs(5))
            .ping_interval(Duration::from_secs(2))
            .connect(urls)
            .await?;
        Ok(Self { nats, group: group.to_owned(), inbox: None })
    }

    /// The same client, which keeps what comes after a request was answered. See [`Client::take_late_answers`].
    pub async fn listening(self) -> anyhow::Result<Self> {
        let inbox = Inbox::open(&self.nats).await?;
        Ok(Self { inbox: Some(inbox), ..self })
    }

    /// What came after the first answer to a request of a client that listens, or after it stopped waiting; each once.
    pub fn take_late_answers(&self) -> Vec<LateAnswer> {
        self.inbox.as_ref().map(|inbox| inbox.take_late()).unwrap_or_default()
    }

    /// The connection.
    pub fn nats(&self) -> &async_nats::Client {
        &self.nats
    }

    /// The group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Sends an update to the group.
    pub async fn update(&self, request: &Request) -> Outcome {
        self.send(subject::update(&self.group), request.bytes(), request.patience()).await
    }

    /// Sends a query to the group.
    pub async fn query(&self, request: &Request) -> Outcome {
        self.send(subject::query(&self.group), request.bytes(), request.patience()).await
    }

    /// Sends an update straight to one CSP.
    pub async fn update_at(&self, csp: &str, request: &Request) -> Outcome {
        self.send(subject::csp_update(&self.group, csp), request.bytes(), request.patience()).await
    }

    /// Sends a query straight to one CSP.
    pub async fn query_at(&self, csp: &str, request: &Request) -> Outcome {
        self.send(subject::csp_query(&self.group, csp), request.bytes(), request.patience()).await
    }

    /// Sends any bytes to any subject.
    pub async fn send(&self, subject: String, body: Vec<u8>, patience: Duration) -> Outcome {
        match self.exchange(subject, body, patience).await {
            Ok(message) => Outcome::decode(&message.payload),
            Err(NoAnswer::Nobody) => Outcome::Refused(Refusal::nobody()),
            Err(NoAnswer::Silence(why)) => Outcome::Unknown(why),
        }
    }

    /// Sends a request, and gives the answer, an error or not.
    pub async fn answer(&self, subject: String, body: &Value, patience: Duration) -> anyhow::Result<Value> {
        let message = self.exchange(subject, body.to_string().into_bytes(), patience).await?;
        Ok(serde_json::from_slice(&message.payload)?)
    }

    async fn exchange(&self, subject: String, body: Vec<u8>, patience: Duration) -> Result<Message, NoAnswer> {
        if let Some(inbox) = &self.inbox {
            return inbox.exchange(&self.nats, subject, body, patience).await;
        }
        let request = async_nats::Request::new().payload(body.into()).timeout(Some(patience));
        self.nats.send_request(subject, request).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => NoAnswer::Nobody,
            _ => NoAnswer::Silence(error.to_string()),
        })
    }

    /// Sends a request whose reply is any JSON, but no error.
    pub async fn ask(&self, subject: String, body: &Value, patience: Duration) -> anyhow::Result<Value> {
        let reply = self.answer(subject, body, patience).await?;
        anyhow::ensure!(reply.get("error").is_none(), "refused: {reply}");
        Ok(reply)
    }

    /// What administration says of the group.
    pub async fn group_status(&self) -> anyhow::Result<Value> {
        const PATIENCE: Duration = Duration::from_secs(10);
        self.ask(subject::admin("group", "status"), &json!({ "group": self.group }), PATIENCE).await
    }

    /// Sends bodies that no service can make sense of, each to the subject of its verb, and demands that they are refused as
    /// such.
    pub async fn refused_as_invalid(
        &self,
        subject: impl Fn(&str) -> String,
        odd: &[(&str, Value)],
        patience: Duration,
    ) -> anyhow::Result<()> {
        for (verb, body) in odd {
            let refused = self.answer(subject(verb), body, patience).await?;
            anyhow::ensure!(refused["error"]["code"] == "invalid_request", "{verb} {body}: {refused}");
        }
        Ok(())
    }

    /// Sends an update under one id until its outcome is certain, or `patience` is over.
    ///
    /// Once an answer is missing, a refusal no longer proves that nothing happened: an earlier attempt may still be on
    /// its way. Then only the outcome of the id ends the doubt.
    pub async fn settle(&self, request: &Request, patience: Duration) -> Outcome {
        self.settle_from(request, patience, false).await
    }

    /// The same for an update that was sent before, and of which nobody knows whether it happened.
    pub async fn settle_doubt(&self, request: &Request, patience: Duration) -> Outcome {
        self.settle_from(request, patience, true).await
    }

    async fn settle_from(&self, request: &Request, patience: Duration, mut doubt: bool) -> Outcome {
        let end = Instant::now() + patience;
        loop {
            let outcome = self.update(request).await;
            match &outcome {
                Outcome::Done(_) => return outcome,
                Outcome::Refused(refusal) if refusal.settled => return outcome,
                Outcome::Refused(refusal) if !doubt && !refusal.retryable => return outcome,
                Outcome::Refused(refusal) => doubt |= refusal.leaves_doubt(),
                Outcome::Unknown(_) => doubt = true,
            }
            if Instant::now() >= end {
                return if doubt { Outcome::Unknown(outcome.to_string()) } else { outcome };
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Settles an update until it is committed; what may succeed, but not under its id any more, is tried again as a new request.
    pub async fn commit(&self, request: Request, patience: Duration) -> anyhow::Result<Reply> {
        let end = Instant::now() + patience;
        let mut request = request;
        loop {
            match self.settle(&request, end.saturating_duration_since(Instant::now())).await {
                Outcome::Refused(refusal) if refusal.settled && refusal.retryable && Instant::now() < end => {
                    request = request.renewed();
                }
                outcome => return outcome.done(),
            }
        }
    }

    /// Sends a query until it is answered, or `patience` is over: a query can always be sent again.
    pub async fn read(&self, request: &Request, patience: Duration) -> Outcome {
        let end = Instant::now() + patience;
        loop {
            let outcome = self.query(request).await;
            let again = match &outcome {
                Outcome::Done(_) => false,
                Outcome::Refused(refusal) => refusal.retryable,
                Outcome::Unknown(_) => true,
            };
            if !again || Instant::now() >= end {
                return outcome;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}
