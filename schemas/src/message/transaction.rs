//! A transaction over several messages: begin, any number of statements, then commit or abort.
//!
//! It lives in one process, which its token names, and is known by its id like an update: whether it was committed can be asked
//! of any CSP, for as long as ids are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::reply::{Results, ResultsDropped};
use super::{LockToken, default_database, rules};
use crate::codec::{DecodeError, Kind, Message, encode_as};
use crate::limits::{DEFAULT_TRANSACTION_IDLE_MS, MAX_TRANSACTION_IDLE_MS, MAX_TRANSACTION_MS};
use crate::name::{self, NameKind};

/// What every message of a transaction bears: `<csp>:<incarnation>:<position>:<id>`.
///
/// It names the process and not only the CSP. A `begin` that is carried out again by a process that took the place of another
/// opens an empty transaction; no message of the first one must ever reach that. And it tells behind which position its commit
/// would be, so that an id that is not known any more is not taken for one that never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionToken<'a> {
    /// The CSP that it lives on.
    pub csp: &'a str,
    /// The process behind the name.
    pub incarnation: u64,
    /// The position that its statements read.
    pub position: u64,
    /// The transaction's id.
    pub id: &'a str,
}

impl<'a> TransactionToken<'a> {
    /// Reads a token; none if it is none.
    #[must_use]
    pub fn parse(token: &'a str) -> Option<Self> {
        let (csp, rest) = token.split_once(':')?;
        let (incarnation, rest) = rest.split_once(':')?;
        let (position, id) = rest.split_once(':')?;
        let fits = name::validate(NameKind::Csp, csp).is_ok() && rules::id(id).is_ok();
        fits.then_some(Self { csp, incarnation: incarnation.parse().ok()?, position: position.parse().ok()?, id })
    }
}

impl std::fmt::Display for TransactionToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}:{}", self.csp, self.incarnation, self.position, self.id)
    }
}

fn check_token(token: &str) -> Result<(), DecodeError> {
    match TransactionToken::parse(token) {
        Some(_) => Ok(()),
        None => Err(DecodeError::refused("transaction", "is no token: send the one that `begin` answered with")),
    }
}

fn check_number(number: Option<u64>) -> Result<(), DecodeError> {
    match number {
        Some(0) => Err(DecodeError::refused("number", "is 0: the first message behind `begin` is number 1")),
        _ => Ok(()),
    }
}

/// Opens a transaction. Sent again under its `id` while that is open on the same CSP, it gets the same token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionBeginRequest {
    /// Names the transaction, so that its outcome can be asked for. Holdfast makes one if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub id: Option<String>,
    /// SurrealDB namespace.
    #[serde(default = "default_database")]
    pub ns: String,
    /// SurrealDB database.
    #[serde(default = "default_database")]
    pub db: String,
    /// Locks that must still be held under these tokens when it is committed; otherwise `lock_lost` is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub locks: Vec<LockToken>,
    /// After this long without a message it is aborted, in milliseconds.
    #[serde(default = "default_idle")]
    #[schemars(range(min = 100, max = 60_000))]
    pub idle_ms: u64,
    /// How long the client waits for the answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub deadline_ms: Option<u64>,
}

fn default_idle() -> u64 {
    DEFAULT_TRANSACTION_IDLE_MS
}

impl Message for TransactionBeginRequest {
    const TYPE: &'static str = "io.holdfast.execution.v1.transaction_begin_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        rules::opening(self.id.as_deref(), &self.ns, &self.db, self.deadline_ms)?;
        if !(100..=MAX_TRANSACTION_IDLE_MS).contains(&self.idle_ms) {
            let reason = format!("is {}: send 100 to {MAX_TRANSACTION_IDLE_MS}", self.idle_ms);
            return Err(DecodeError::refused("idle_ms", reason));
        }
        LockToken::check_all(&self.locks)
    }
}

/// The transaction is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransactionBeginReply {
    /// Its id.
    pub id: String,
    /// What every further message of it bears.
    pub transaction: String,
    /// The position that its statements read.
    pub position: u64,
    /// After this long without a message it is aborted, in milliseconds.
    pub idle_ms: u64,
    /// After this long it is aborted, whatever messages come, in milliseconds from its beginning.
    #[serde(default = "life")]
    pub life_ms: u64,
}

fn life() -> u64 {
    MAX_TRANSACTION_MS
}

impl Message for TransactionBeginReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.transaction_begin_reply";
    const KIND: Kind = Kind::Reply;
}

/// Carries out statements in an open transaction, once. With a `number` it can be sent again when no answer came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionExecuteRequest {
    /// The token.
    pub transaction: String,
    /// The statements, without BEGIN and COMMIT.
    pub sql: String,
    /// Values of the parameters (`$name`) in `sql`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vars: Option<Map<String, Value>>,
    /// Which message of the transaction this is: 1 for the first one behind `begin`, then 2, and so on. Sent again under its
    /// number it is not carried out again, and gets the answer of the first time. Without a number a message that is sent
    /// again is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub number: Option<u64>,
    /// How long the client waits for the answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub deadline_ms: Option<u64>,
}

impl Message for TransactionExecuteRequest {
    const TYPE: &'static str = "io.holdfast.execution.v1.transaction_execute_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        check_token(&self.transaction)?;
        rules::sql(&self.sql)?;
        check_number(self.number)?;
        rules::deadline(self.deadline_ms)
    }
}

/// The statements ran; nobody else sees what they did before the commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransactionExecuteReply {
    /// The transaction's id.
    pub id: String,
    /// Says that the results did not fit into one message. The statements were carried out all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_dropped: Option<ResultsDropped>,
    /// One result for each statement; none where `results_dropped` says so.
    pub results: Vec<Value>,
}

impl Message for TransactionExecuteReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.transaction_execute_reply";
    const KIND: Kind = Kind::Reply;
}

/// An encoded [`TransactionExecuteReply`] around results that are JSON already.
pub fn transaction_execute_reply_bytes(id: &str, results: Results<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        results_dropped: Option<&'a ResultsDropped>,
    }
    let head = Head { id, results_dropped: results.dropped() };
    super::reply::splice(encode_as(TransactionExecuteReply::TYPE, &head), results.json())
}

/// Ends a transaction: sent to `transaction.commit` it takes effect and is answered like an update, sent to
/// `transaction.abort` nothing of it happened, sent to `transaction.status` it is only asked how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionRequest {
    /// The token.
    pub transaction: String,
    /// Which message of the transaction a commit is, counted like those with statements. The others need none: they can be
    /// sent any number of times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub number: Option<u64>,
    /// How long the client waits for the answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub deadline_ms: Option<u64>,
}

impl Message for TransactionRequest {
    const TYPE: &'static str = "io.holdfast.execution.v1.transaction_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        check_token(&self.transaction)?;
        check_number(self.number)?;
        rules::deadline(self.deadline_ms)
    }
}

/// How a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionState {
    /// It takes statements.
    Open,
    /// It took effect.
    Committed,
    /// It was aborted, by its client, its time limit, a failed statement, or with its CSP; or it never began.
    Aborted,
}

/// How a transaction stands: the answer to `transaction.status` and `transaction.abort`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransactionStatusReply {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub state: TransactionState,
    /// Where it was committed; otherwise how far the log was looked through for it.
    pub position: u64,
}

impl Message for TransactionStatusReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.transaction_status_reply";
    const KIND: Kind = Kind::Reply;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_csp_process_position_and_id() {
        let token = TransactionToken { csp: "a", incarnation: 17, position: 41, id: "order:1" };
        assert_eq!(token.to_string(), "a:17:41:order:1");
        assert_eq!(TransactionToken::parse("a:17:41:order:1"), Some(token));
        for odd in ["", "a", "a:17", "a:17:41", "a:17:41:", "a:x:1:1", "a:1:x:1", ":17:1:1", "a b:1:1:1", "a:1:1:b c"] {
            assert_eq!(TransactionToken::parse(odd), None, "{odd}");
        }
    }
}
