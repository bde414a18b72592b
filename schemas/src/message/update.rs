//! One transaction, as a client asks for it: all of its statements or none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{LockToken, default_database, rules};
use crate::codec::{DecodeError, Kind, Message};

/// Asks for one transaction. Sent again under the same `id`, it is carried out once at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRequest {
    /// Names the request, so that a repetition gets the first outcome. Holdfast makes one if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub id: Option<String>,
    /// SurrealDB namespace.
    #[serde(default = "default_database")]
    pub ns: String,
    /// SurrealDB database.
    #[serde(default = "default_database")]
    pub db: String,
    /// The statements, without BEGIN and COMMIT.
    pub sql: String,
    /// Values of the parameters (`$name`) in `sql`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars: Option<Map<String, Value>>,
    /// Locks that must still be held under these tokens when it takes effect; otherwise `lock_lost` is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub locks: Vec<LockToken>,
    /// How long the client waits, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub deadline_ms: Option<u64>,
}

impl UpdateRequest {
    /// A request with these statements and nothing else.
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            id: None,
            ns: default_database(),
            db: default_database(),
            sql: sql.into(),
            vars: None,
            locks: Vec::new(),
            deadline_ms: None,
        }
    }
}

impl Message for UpdateRequest {
    const TYPE: &'static str = "io.holdfast.execution.v1.update_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        rules::update(self)
    }
}
