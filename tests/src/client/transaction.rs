//! A transaction over several messages, as a client would carry it through lost answers.

use std::time::Duration;

use holdfast_schemas::subject;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Client;

/// Pause before a message is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// An open transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    client: Client,
    token: String,
    /// Number of the last message, where they are numbered.
    number: Option<u64>,
}

impl Transaction {
    /// Begins one with these fields, and sends that again under its id until there is a token.
    pub async fn begin(client: &Client, fields: &Value, numbered: bool, patience: Duration) -> anyhow::Result<Self> {
        let id = ulid::Ulid::generate().to_string();
        let mut body = fields.as_object().cloned().unwrap_or_default();
        body.entry("id").or_insert_with(|| id.into());
        let end = Instant::now() + patience;
        loop {
            let told = match client.try_answer("begin", &body).await {
                Some(reply) if reply["transaction"].is_string() => {
                    let token = reply["transaction"].as_str().unwrap_or_default().to_owned();
                    return Ok(Self { client: client.clone(), token, number: numbered.then_some(0) });
                }
                told => told,
            };
            let may_go_on = told.as_ref().is_none_or(|reply| reply["error"]["retryable"] == true);
            anyhow::ensure!(may_go_on && Instant::now() < end, "it does not begin: {told:?}");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The CSP that holds it.
    pub fn holder(&self) -> &str {
        self.token.split(':').next().unwrap_or_default()
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
        self.client.try_answer(verb, &body).await
    }
}

impl Client {
    /// One message of a transaction; none if there was no answer.
    async fn try_answer(&self, verb: &str, body: &Map<String, Value>) -> Option<Value> {
        const WAIT: Duration = Duration::from_millis(5_500);
        let body = Value::Object(body.clone());
        self.answer(subject::transaction(self.group(), verb), &body, WAIT).await.ok()
    }
}
