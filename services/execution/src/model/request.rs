//! Is this body a request that may travel on, and what does its routing need?
//!
//! The body is looked at once and goes on as the same bytes. Checked here, so that a bad request costs no CSP anything: size,
//! depth, JSON, unknown and repeated fields, the types and ranges of the small fields, and that the consistency fields fit
//! together. Left to the CSP, which has to parse the body anyway: the statement (SQL) and the values of `vars`; both are only
//! checked to be a string and an object, and are neither copied nor unescaped here. The CSP repeats the checks of this file by
//! decoding into the types of `schemas`, so a request that reaches it by another way is refused with the same codes.

pub use super::route::Need;
use holdfast_schemas::message::execution::{Consistency, QueryRequest, UpdateRequest};
use holdfast_schemas::{ErrorCode, Message, limits};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What an execution service is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A transaction that may write.
    Update,
    /// A read.
    Query,
}

/// What routing needs of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The sender's id; none if it wants one to be given.
    pub id: Option<String>,
    /// How long the sender wants to wait.
    pub deadline_ms: u64,
    /// What the CSP has to fulfil.
    pub need: Need,
}

/// Why a request does not travel on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The sender's id, where it could be read.
    pub id: Option<String>,
    /// The stable code.
    pub code: ErrorCode,
    /// One sentence for people.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBody<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    ns: Option<String>,
    db: Option<String>,
    #[serde(borrow)]
    sql: &'a RawValue,
    #[serde(borrow)]
    vars: Option<&'a RawValue>,
    deadline_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryBody<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    ns: Option<String>,
    db: Option<String>,
    #[serde(borrow)]
    sql: &'a RawValue,
    #[serde(borrow)]
    vars: Option<&'a RawValue>,
    deadline_ms: Option<u64>,
    consistency: Option<Consistency>,
    after: Option<u64>,
    max_lag_ms: Option<u64>,
    affinity: Option<String>,
}

/// Checks a body and takes out of it what routing needs.
pub fn read(kind: Kind, body: &[u8]) -> Result<Request, Refusal> {
    if body.len() > limits::MAX_REQUEST_BYTES {
        let message =
            format!("the request has {} bytes, at most {} are taken", body.len(), limits::MAX_REQUEST_BYTES);
        return Err(Refusal { id: None, code: ErrorCode::RequestTooLarge, message });
    }
    if deeper_than(body, limits::MAX_JSON_DEPTH) {
        return Err(invalid(None, format!("the request is nested deeper than {} levels", limits::MAX_JSON_DEPTH)));
    }
    match kind {
        Kind::Update => read_update(body),
        Kind::Query => read_query(body),
    }
}

fn read_update(body: &[u8]) -> Result<Request, Refusal> {
    let body: UpdateBody<'_> = serde_json::from_slice(body).map_err(malformed)?;
    let common = Common {
        kind: body.kind.as_deref(),
        expected: UpdateRequest::TYPE,
        id: body.id.as_deref(),
        names: [("ns", body.ns.as_deref()), ("db", body.db.as_deref())],
        sql: body.sql,
        vars: body.vars,
        deadline_ms: body.deadline_ms,
    };
    match common.check() {
        Ok(deadline_ms) => Ok(Request { id: body.id, deadline_ms, need: Need::Update }),
        Err(message) => Err(invalid(body.id, message)),
    }
}

fn read_query(body: &[u8]) -> Result<Request, Refusal> {
    let body: QueryBody<'_> = serde_json::from_slice(body).map_err(malformed)?;
    let common = Common {
        kind: body.kind.as_deref(),
        expected: QueryRequest::TYPE,
        id: body.id.as_deref(),
        names: [("ns", body.ns.as_deref()), ("db", body.db.as_deref())],
        sql: body.sql,
        vars: body.vars,
        deadline_ms: body.deadline_ms,
    };
    let need = need(body.consistency.unwrap_or_default(), body.after, body.max_lag_ms);
    let affinity = within("affinity", body.affinity.as_deref(), limits::MAX_AFFINITY_BYTES);
    let checked = common.check().and_then(|deadline_ms| affinity.and(need).map(|need| (deadline_ms, need)));
    match checked {
        Ok((deadline_ms, need)) => Ok(Request { id: body.id, deadline_ms, need }),
        Err(message) => Err(invalid(body.id, message)),
    }
}

/// The fields that updates and queries share.
struct Common<'a> {
    kind: Option<&'a str>,
    expected: &'static str,
    id: Option<&'a str>,
    names: [(&'static str, Option<&'a str>); 2],
    sql: &'a RawValue,
    vars: Option<&'a RawValue>,
    deadline_ms: Option<u64>,
}

impl Common<'_> {
    /// Returns the deadline that holds.
    fn check(&self) -> Result<u64, String> {
        if self.kind.is_some_and(|kind| kind != self.expected) {
            return Err(format!("the type must be {} or left out", self.expected));
        }
        within("id", self.id, limits::MAX_ID_BYTES)?;
        for (field, name) in self.names {
            within(field, name, limits::MAX_DATABASE_NAME_BYTES)?;
        }
        match self.sql.get() {
            "\"\"" => return Err("sql is empty".to_owned()),
            sql if !sql.starts_with('"') => return Err("sql must be a string".to_owned()),
            _ => {}
        }
        if self.vars.is_some_and(|vars| !vars.get().starts_with('{')) {
            return Err("vars must be an object".to_owned());
        }
        match self.deadline_ms.unwrap_or(limits::DEFAULT_DEADLINE_MS) {
            deadline_ms @ 1..=limits::MAX_DEADLINE_MS => Ok(deadline_ms),
            other => Err(format!("deadline_ms is {other}, it must be from 1 to {}", limits::MAX_DEADLINE_MS)),
        }
    }
}

/// Checks an id that came in a header.
pub fn check_id(id: &str) -> Result<(), Refusal> {
    within("id", Some(id), limits::MAX_ID_BYTES).map_err(|message| invalid(None, message))
}

/// A short text that also has to fit into a message header.
fn within(field: &str, text: Option<&str>, bytes_max: usize) -> Result<(), String> {
    match text {
        None => Ok(()),
        Some(text) if text.is_empty() || text.len() > bytes_max => {
            Err(format!("{field} must have from 1 to {bytes_max} bytes"))
        }
        Some(text) if text.chars().any(char::is_control) => {
            Err(format!("{field} must not contain control characters"))
        }
        Some(_) => Ok(()),
    }
}

fn need(consistency: Consistency, after: Option<u64>, max_lag_ms: Option<u64>) -> Result<Need, String> {
    match (consistency, after, max_lag_ms) {
        (Consistency::Any, None, max_lag_ms) => Ok(Need::Any { max_lag_ms }),
        (Consistency::Session, Some(after), None) => Ok(Need::Session { after }),
        (Consistency::Session, None, _) => Err("consistency session needs after, the position to be seen".to_owned()),
        (Consistency::Strong, None, None) => Ok(Need::Strong),
        (_, Some(_), _) => Err("after belongs to consistency session only".to_owned()),
        (_, _, Some(_)) => Err("max_lag_ms belongs to consistency any only".to_owned()),
    }
}

fn invalid(id: Option<String>, message: String) -> Refusal {
    Refusal { id, code: ErrorCode::InvalidRequest, message }
}

fn malformed(error: serde_json::Error) -> Refusal {
    invalid(None, format!("the request cannot be read: {error}"))
}

/// Whether brackets open deeper than `depth_max`, looking at bytes only: text that is not JSON is found by the parser.
fn deeper_than(body: &[u8], depth_max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in body {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > depth_max {
            return true;
        }
    }
    false
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
