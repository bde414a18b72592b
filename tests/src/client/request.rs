//! The body of an update or a query.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// A request that can be sent any number of times under the same id.
#[derive(Clone, Debug)]
pub struct Request {
    body: Map<String, Value>,
}

impl Request {
    /// A request with a fresh id.
    pub fn new(sql: impl Into<String>) -> Self {
        let request = Self { body: Map::new() };
        request.with("sql", sql.into()).with("id", ulid::Ulid::generate().to_string())
    }

    /// Sets a field of the body.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body.insert(field.to_owned(), value.into());
        self
    }

    /// Sets a variable.
    pub fn var(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body.entry("vars").or_insert_with(|| json!({}))[name] = value.into();
        self
    }

    /// Sets the deadline.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.with("deadline_ms", u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX))
    }

    /// Demands that every update acknowledged before is visible.
    pub fn strong(self) -> Self {
        self.with("consistency", "strong")
    }

    /// Demands a copy that has come as far as `position`.
    pub fn after(self, position: u64) -> Self {
        self.with("consistency", "session").with("after", position)
    }

    /// The same request under another id.
    pub fn renewed(self) -> Self {
        self.with("id", ulid::Ulid::generate().to_string())
    }

    /// The id.
    pub fn id(&self) -> &str {
        self.body.get("id").and_then(Value::as_str).unwrap_or_default()
    }

    /// What goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        Value::Object(self.body.clone()).to_string().into_bytes()
    }

    /// How long a client waits for the answer: a little longer than the request may run.
    pub fn patience(&self) -> Duration {
        const SLACK: Duration = Duration::from_millis(500);
        let deadline_ms = self.body.get("deadline_ms").and_then(Value::as_u64).unwrap_or(5_000);
        Duration::from_millis(deadline_ms) + SLACK
    }
}
