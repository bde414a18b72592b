//! A transaction over several messages, as a client would carry it through lost answers.

use std::time::Duration;

use holdfast_schemas::subject;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Client;

/// Pause before a message is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The deadline of a message that names none.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long an answer is awaited behind its deadline.
const MARGIN: Duration = Duration::from_millis(500);

/// An open transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    client: Client,
    token: String,
    /// Number of the last message, where they are numbered.
    number: Option<u64>,
    /// Of each message, where it is named.
    deadline: Option<Duration>,
}

impl Transaction {
    /// Begins one with these fields, and sends that again under its id until there is a token.
    pub async fn begin(client: &Client, fields: &Value, numbered: bool, patience: Duration) -> anyhow::Result<Self> {
        let id = ulid::Ulid::generate().to_string();
        let mut body = fields.as_object().cloned().unwrap_or_default();
        body.entry("id").or_insert_with(|| id.into());
        let end = Instant::now() + patience;
        loop {
            let told = client.try_answer("begin", body.clone(), None).await;
            if let Some(token) = token_in(told.as_ref()) {
                return Ok(Self { client: client.clone(), token, number: numbered.then_some(0), deadline: None });
            }
            let may_go_on = told.as_ref().is_none_or(|reply| reply["error"]["retryable"] == true);
            anyhow::ensure!(may_go_on && Instant::now() < end, "it does not begin: {told:?}");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Begins one whose messages are numbered and have this deadline, with one message. None if there was no answer, or another one.
    pub async fn begin_once(client: &Client, fields: &Value, deadline: Duration) -> Option<Self> {
        let body = fields.as_object().cloned().unwrap_or_default();
        let told = client.try_answer("begin", body, Some(deadline)).await;
        let token = token_in(told.as_ref())?;
        Some(Self { client: client.clone(), token, number: Some(0), deadline: Some(deadline) })
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The CSP that holds it.
    pub fn holder(&self) -> &str {
        self.token.split(':').next().unwrap_or_default()
    }

    /// The number of the last message, where they are numbered.
    pub fn number(&self) -> Option<u64> {
        self.number
    }

    /// Counts one message more, so that what is sent next is another one.
    pub fn next(&mut self) {
        self.number = self.number.map(|number| number + 1);
    }

    /// Sends statements, once. None if there was no answer.
    pub async fn execute(&self, sql: &str) -> Option<Value> {
        self.send("execute", json!({ "sql": sql })).await
    }

    /// Sends `commit`, `abort` or `status`, once. None if there was no answer.
    pub async fn end(&self, verb: &str) -> Option<Value> {
        self.send(verb, json!({})).await
    }

    async fn send(&self, verb: &str, body: Value) -> Option<Value> {
        let mut body = body.as_object().cloned().unwrap_or_default();
        body.insert("transaction".to_owned(), self.token.clone().into());
        if let Some(number) = self.number.filter(|_| verb == "execute" || verb == "commit") {
            body.insert("number".to_owned(), number.into());
        }
        self.client.try_answer(verb, body, self.deadline).await
    }
}

fn token_in(reply: Option<&Value>) -> Option<String> {
    reply?["transaction"].as_str().map(str::to_owned)
}

impl Client {
    /// One message of a transaction; none if there was no answer.
    async fn try_answer(&self, verb: &str, mut body: Map<String, Value>, deadline: Option<Duration>) -> Option<Value> {
        if let Some(deadline) = deadline {
            body.insert("deadline_ms".to_owned(), u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX).into());
        }
        let wait = deadline.unwrap_or(DEADLINE) + MARGIN;
        self.answer(subject::transaction(self.group(), verb), &Value::Object(body), wait).await.ok()
    }
}
