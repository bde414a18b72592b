//! Reads, and how fresh they must be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{default_database, rules};
use crate::codec::{DecodeError, Kind, Message};
use crate::limits::MAX_AFFINITY_BYTES;
use crate::name::{self, NameKind};

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Whatever the copy holds, within `max_lag_ms` if given.
    #[default]
    Any,
    /// At least the position `after`: a client reads its own writes.
    Session,
    /// Everything that was acknowledged anywhere before the query was sent.
    Strong,
}

/// Asks for reads only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryRequest {
    /// Names the request in logs and in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub id: Option<String>,
    /// SurrealDB namespace.
    #[serde(default = "default_database")]
    pub ns: String,
    /// SurrealDB database.
    #[serde(default = "default_database")]
    pub db: String,
    /// The statements.
    pub sql: String,
    /// Values of the parameters (`$name`) in `sql`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars: Option<Map<String, Value>>,
    /// How long the client waits, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub deadline_ms: Option<u64>,
    /// How fresh the answer must be.
    #[serde(default)]
    pub consistency: Consistency,
    /// With `session`: the position that the answer must include, taken from an earlier reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// With `any`: how far behind the copy may be, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lag_ms: Option<u64>,
    /// Queries with the same key go to the same copy while it is available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub affinity: Option<String>,
    /// The pool of the group whose copies may answer; any copy if it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub pool: Option<String>,
}

impl QueryRequest {
    /// A query with these statements and nothing else.
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            id: None,
            ns: default_database(),
            db: default_database(),
            sql: sql.into(),
            vars: None,
            deadline_ms: None,
            consistency: Consistency::Any,
            after: None,
            max_lag_ms: None,
            affinity: None,
            pool: None,
        }
    }

    fn check_freshness(&self) -> Result<(), DecodeError> {
        match (self.consistency, self.after, self.max_lag_ms) {
            (Consistency::Session, None, _) => {
                Err(DecodeError::refused("after", "is missing: with \"session\" send the position of an earlier reply"))
            }
            (Consistency::Any | Consistency::Strong, Some(_), _) => {
                Err(DecodeError::refused("after", "goes with \"session\" only: set `consistency`, or leave it out"))
            }
            (Consistency::Session | Consistency::Strong, _, Some(_)) => {
                Err(DecodeError::refused("max_lag_ms", "goes with \"any\" only: leave it out"))
            }
            _ => Ok(()),
        }
    }
}

impl Message for QueryRequest {
    const TYPE: &'static str = "io.holdfast.execution.v1.query_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        rules::query(self)?;
        self.check_freshness()?;
        if let Some(pool) = &self.pool {
            name::validate(NameKind::Pool, pool)
                .map_err(|error| DecodeError::refused("pool", format!("is refused: {error}")))?;
        }
        match self.affinity.as_deref().map(str::len) {
            Some(bytes) if !(1..=MAX_AFFINITY_BYTES).contains(&bytes) => {
                Err(DecodeError::refused("affinity", format!("must have 1 to {MAX_AFFINITY_BYTES} bytes")))
            }
            _ => Ok(()),
        }
    }
}
