//! Is this body a request that may travel on, and what does its routing need?
//!
//! A glance at the envelope, as in a post room: the letter is not opened. The glance takes in size, nesting, the names and
//! small values of the fields, and that `sql` is a text and `vars` an object, whose contents are neither copied nor
//! unescaped. What a glance does not settle is decoded by the type of the contract, which has the last word: so a request is
//! taken here if the contract takes it, and refused with the contract's codes and sentences.
//!
//! One exception, on the side of letting through: a text of escaped blanks, or with broken escapes, is not found by a glance.
//! The CSP decodes every body by the same types and refuses it there.

use super::lock::{self, LockVerb};
use super::route::Need;
use holdfast_schemas::message::{
    Consistency, LockToken, QueryRequest, TransactionBeginRequest, TransactionExecuteRequest, TransactionRequest,
    TransactionToken, UpdateRequest,
};
use holdfast_schemas::name::{self, NameKind};
use holdfast_schemas::{DecodeError, ErrorCode, Message, limits};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What an execution service is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A transaction that may write.
    Update,
    /// A read.
    Query,
    /// A message of a transaction over several messages.
    Transaction(Verb),
    /// A message about locks.
    Lock(LockVerb),
}

impl Kind {
    /// Whether the request is for nothing where nobody can be told the answer: a read, or a lock whose token nobody learns.
    pub fn is_for_its_answer(self) -> bool {
        matches!(self, Self::Query | Self::Lock(LockVerb::Acquire | LockVerb::List))
    }
}

/// What a client wants of a transaction over several messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Open it, on a CSP that may write.
    Begin,
    /// Carry out statements, on the CSP that holds it.
    Execute,
    /// End it, or ask how it stands. The CSP that holds it does that; when it is gone, any that may write settles it by its id.
    End(&'static str),
}

impl Kind {
    /// Whether it begins a transaction, be it one of a single message.
    pub fn begins_transaction(self) -> bool {
        matches!(self, Self::Update | Self::Transaction(Verb::Begin))
    }
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Begin, Self::Execute, Self::End("commit"), Self::End("abort"), Self::End("status")];

    /// The last part of its subject.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Execute => "execute",
            Self::End(name) => name,
        }
    }
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
    /// Requests with the same value go to the same copy where several may take them.
    pub affinity: Option<u64>,
    /// The pool of the group whose copies may answer.
    pub pool: Option<String>,
    /// The CSP that holds the transaction which the message belongs to.
    pub holder: Option<String>,
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

/// Checks a body and takes out of it what routing needs.
pub fn read(kind: Kind, body: &[u8]) -> Result<Request, Refusal> {
    let within_bounds = body.len() <= limits::MAX_REQUEST_BYTES && !deeper_than(body, limits::MAX_JSON_DEPTH);
    let glance = match kind {
        _ if !within_bounds => None,
        Kind::Update => glance_at_update(body),
        Kind::Query => glance_at_query(body),
        // Rare beside the others, so the contract reads them itself.
        Kind::Transaction(_) | Kind::Lock(_) => None,
    };
    match glance {
        Some(request) => Ok(request),
        None => decode(kind, body).map_err(|error| Refusal {
            id: id_of(body).filter(|_| within_bounds),
            code: error.code(),
            message: error.to_string(),
        }),
    }
}

/// Whether a text may be an id: it travels in a header too.
pub fn id_fits(id: &str) -> bool {
    (1..=limits::MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn decode(kind: Kind, body: &[u8]) -> Result<Request, DecodeError> {
    let (id, deadline_ms, need, key, pool) = match kind {
        Kind::Update => {
            let request = UpdateRequest::decode(body)?;
            (request.id, request.deadline_ms, Need::Update, first_name(request.locks), None)
        }
        Kind::Query => {
            let request = QueryRequest::decode(body)?;
            let need = need(request.consistency, request.after, request.max_lag_ms);
            // Decoding has refused what does not fit together.
            (request.id, request.deadline_ms, need.unwrap_or(Need::Strong), request.affinity, request.pool)
        }
        Kind::Transaction(verb) => return decode_transaction(verb, body),
        Kind::Lock(verb) => return lock::decode(verb, body),
    };
    let deadline_ms = deadline_ms.unwrap_or(limits::DEFAULT_DEADLINE_MS);
    Ok(Request { id, deadline_ms, need, affinity: key.as_deref().map(affinity), pool, holder: None })
}

fn decode_transaction(verb: Verb, body: &[u8]) -> Result<Request, DecodeError> {
    let (id, deadline_ms, token, key) = match verb {
        Verb::Begin => {
            let request = TransactionBeginRequest::decode(body)?;
            // Sent again under its id it finds the transaction that it opened, where several CSPs could take it.
            let key = first_name(request.locks).or_else(|| request.id.clone());
            (request.id, request.deadline_ms, None, key)
        }
        Verb::Execute => {
            let request = TransactionExecuteRequest::decode(body)?;
            (None, request.deadline_ms, Some(request.transaction), None)
        }
        Verb::End(_) => {
            let request = TransactionRequest::decode(body)?;
            (None, request.deadline_ms, Some(request.transaction), None)
        }
    };
    // Decoding has refused what is no token.
    let token = token.as_deref().and_then(TransactionToken::parse);
    let (holder, named) = token.map(|token| (token.csp.to_owned(), token.id.to_owned())).unzip();
    Ok(Request {
        id: id.or(named),
        deadline_ms: deadline_ms.unwrap_or(limits::DEFAULT_DEADLINE_MS),
        need: Need::Update,
        affinity: key.as_deref().map(affinity),
        pool: None,
        holder,
    })
}

/// Who works under a lock does so where the lock was given, if that can be: the copy there has the acquisition already, and
/// all that was done under the lock before.
fn first_name(locks: Vec<LockToken>) -> Option<String> {
    locks.into_iter().next().map(|lock| lock.name)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateGlance<'a> {
    #[serde(rename = "type", borrow, default = "update_type")]
    kind: Cow<'a, str>,
    id: Option<String>,
    #[serde(borrow, default = "main")]
    ns: Cow<'a, str>,
    #[serde(borrow, default = "main")]
    db: Cow<'a, str>,
    #[serde(borrow)]
    sql: &'a RawValue,
    #[serde(borrow)]
    vars: Option<&'a RawValue>,
    deadline_ms: Option<u64>,
    #[serde(default)]
    locks: Vec<LockToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryGlance<'a> {
    #[serde(rename = "type", borrow, default = "query_type")]
    kind: Cow<'a, str>,
    id: Option<String>,
    #[serde(borrow, default = "main")]
    ns: Cow<'a, str>,
    #[serde(borrow, default = "main")]
    db: Cow<'a, str>,
    #[serde(borrow)]
    sql: &'a RawValue,
    #[serde(borrow)]
    vars: Option<&'a RawValue>,
    deadline_ms: Option<u64>,
    #[serde(default)]
    consistency: Consistency,
    after: Option<u64>,
    max_lag_ms: Option<u64>,
    #[serde(borrow)]
    affinity: Option<Cow<'a, str>>,
    pool: Option<String>,
}

fn glance_at_update(body: &[u8]) -> Option<Request> {
    let seen: UpdateGlance<'_> = serde_json::from_slice(body).ok()?;
    let plain = seen.kind == UpdateRequest::TYPE
        && names_fit(seen.id.as_deref(), &seen.ns, &seen.db)
        && contents_fit(seen.sql, seen.vars)
        && LockToken::check_all(&seen.locks).is_ok();
    let deadline_ms = deadline(seen.deadline_ms).filter(|_| plain)?;
    let affinity = first_name(seen.locks).as_deref().map(affinity);
    Some(Request { id: seen.id, deadline_ms, need: Need::Update, affinity, pool: None, holder: None })
}

fn glance_at_query(body: &[u8]) -> Option<Request> {
    let seen: QueryGlance<'_> = serde_json::from_slice(body).ok()?;
    let plain = seen.kind == QueryRequest::TYPE
        && names_fit(seen.id.as_deref(), &seen.ns, &seen.db)
        && contents_fit(seen.sql, seen.vars)
        && seen.affinity.as_deref().is_none_or(|key| (1..=limits::MAX_AFFINITY_BYTES).contains(&key.len()))
        && seen.pool.as_deref().is_none_or(|pool| name::validate(NameKind::Pool, pool).is_ok());
    let deadline_ms = deadline(seen.deadline_ms).filter(|_| plain)?;
    let need = need(seen.consistency, seen.after, seen.max_lag_ms)?;
    let affinity = seen.affinity.as_deref().map(affinity);
    Some(Request { id: seen.id, deadline_ms, need, affinity, pool: seen.pool, holder: None })
}

fn names_fit(id: Option<&str>, ns: &str, db: &str) -> bool {
    let name_fits =
        |name: &str| (1..=limits::MAX_DATABASE_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control);
    id.is_none_or(id_fits) && name_fits(ns) && name_fits(db)
}

fn contents_fit(sql: &RawValue, vars: Option<&RawValue>) -> bool {
    let text = sql.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    text.is_some_and(|text| !text.trim().is_empty()) && vars.is_none_or(|vars| vars.get().starts_with('{'))
}

fn deadline(asked_ms: Option<u64>) -> Option<u64> {
    let deadline_ms = asked_ms.unwrap_or(limits::DEFAULT_DEADLINE_MS);
    (1..=limits::MAX_DEADLINE_MS).contains(&deadline_ms).then_some(deadline_ms)
}

/// What the three fields demand together; none if they do not fit.
fn need(consistency: Consistency, after: Option<u64>, max_lag_ms: Option<u64>) -> Option<Need> {
    match (consistency, after, max_lag_ms) {
        (Consistency::Any, None, max_lag_ms) => Some(Need::Any { max_lag_ms }),
        (Consistency::Session, Some(after), None) => Some(Need::Session { after }),
        (Consistency::Strong, None, None) => Some(Need::Strong),
        _ => None,
    }
}

/// A key as a number, the same in every instance.
pub(super) fn affinity(key: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key.as_bytes())
}

/// The id of a body that is refused for another reason, so that the sender can tell which request it was.
fn id_of(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Id {
        id: Option<String>,
    }
    serde_json::from_slice::<Id>(body).ok()?.id.filter(|id| id_fits(id))
}

fn main() -> Cow<'static, str> {
    Cow::Borrowed(holdfast_schemas::message::DEFAULT_DATABASE)
}

fn update_type() -> Cow<'static, str> {
    Cow::Borrowed(UpdateRequest::TYPE)
}

fn query_type() -> Cow<'static, str> {
    Cow::Borrowed(QueryRequest::TYPE)
}

/// Whether brackets open deeper than `depth_max`, by a look at the bytes. Bytes that are no JSON may give either answer.
fn deeper_than(body: &[u8], depth_max: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in body {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
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
