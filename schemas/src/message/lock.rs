//! Explicit locks: who changes hot data takes turns beforehand, instead of running into conflicts afterwards.
//!
//! A lock is held for a lease, because who holds it may be gone and cannot say so. A holder that was away for longer than its
//! lease does not know that yet; so every acquisition gets a token that is higher than all before it, and a transaction that
//! names its token takes effect only if the lock is still held under it, at that place in the log. Clocks only say when a
//! lock may be taken over; whether a holder's work counts is for the log to say.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::codec::{DecodeError, Kind, Message};
use crate::limits::{
    DEFAULT_LOCK_LEASE_MS, MAX_LOCK_HOLDER_BYTES, MAX_LOCK_LEASE_MS, MAX_LOCK_NAME_BYTES, MAX_LOCKS_PER_REQUEST,
    MIN_LOCK_LEASE_MS,
};

/// A lock, and the acquisition under which its holder believes to have it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockToken {
    /// The lock.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What the acquisition was answered with.
    pub token: u64,
}

impl LockToken {
    /// Checks the locks that a transaction relies on: few enough to look up one by one, and each once.
    pub fn check_all(locks: &[Self]) -> Result<(), DecodeError> {
        if locks.len() > MAX_LOCKS_PER_REQUEST {
            let reason = format!("holds {}: send {MAX_LOCKS_PER_REQUEST} at most", locks.len());
            return Err(DecodeError::refused("locks", reason));
        }
        let mut seen = HashSet::new();
        for lock in locks {
            if !is_name(&lock.name) {
                return Err(DecodeError::refused("locks", format!("holds a name that is none: it {}", name_rule())));
            }
            if !seen.insert(lock.name.as_str()) {
                let reason = format!("names {:?} twice: send each lock once, with its latest token", lock.name);
                return Err(DecodeError::refused("locks", reason));
            }
        }
        Ok(())
    }
}

/// Takes a lock, or holds on to it for longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockAcquireRequest {
    /// Names the request, so that a repetition gets the first acquisition. Holdfast makes one if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub id: Option<String>,
    /// The lock. It need not exist before: a name is all that there is to it.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// How long it is held, counted from when it is acquired or renewed, in milliseconds.
    #[serde(default = "default_lease")]
    #[schemars(range(min = 1_000, max = 3_600_000))]
    pub lease_ms: u64,
    /// Renews the lease of the acquisition that got this token, which stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// Who holds it, for people: shown in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub holder: Option<String>,
    /// Whether to wait, until the deadline, for somebody else to release it; otherwise `lock_held` is said at once.
    #[serde(default = "default_wait")]
    pub wait: bool,
    /// How long the client waits for the answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub deadline_ms: Option<u64>,
}

fn default_lease() -> u64 {
    DEFAULT_LOCK_LEASE_MS
}

fn default_wait() -> bool {
    true
}

impl LockAcquireRequest {
    /// Waits for that lock, and holds it for a lease of the usual length.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            id: None,
            name: name.into(),
            lease_ms: default_lease(),
            token: None,
            holder: None,
            wait: default_wait(),
            deadline_ms: None,
        }
    }
}

impl Message for LockAcquireRequest {
    const TYPE: &'static str = "io.holdfast.execution.v1.lock_acquire_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        opening(self.id.as_deref(), Some(&self.name), self.deadline_ms)?;
        if !(MIN_LOCK_LEASE_MS..=MAX_LOCK_LEASE_MS).contains(&self.lease_ms) {
            let reason = format!("is {}: send {MIN_LOCK_LEASE_MS} to {MAX_LOCK_LEASE_MS}", self.lease_ms);
            return Err(DecodeError::refused("lease_ms", reason));
        }
        self.holder.as_deref().map_or(Ok(()), holder)
    }
}

/// The lock is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockAcquireReply {
    /// The id of the request.
    pub id: String,
    /// The CSP that answers.
    pub csp: String,
    /// The lock.
    pub name: String,
    /// Grows with every acquisition of the lock: what is done under it names it, and is refused once it is not the last.
    pub token: u64,
    /// How long it is held, in milliseconds.
    pub lease_ms: u64,
    /// Until when, by the clock of the log, in milliseconds since 1970.
    pub expires_at_ms: u64,
    /// The position of the log that this reflects.
    pub position: u64,
}

impl Message for LockAcquireReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.lock_acquire_reply";
    const KIND: Kind = Kind::Reply;
}

/// Gives a lock back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockReleaseRequest {
    /// Names the request, so that a repetition gets the first outcome. Holdfast makes one if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub id: Option<String>,
    /// The lock.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What the acquisition was answered with. A later one is left alone.
    pub token: u64,
    /// How long the client waits for the answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub deadline_ms: Option<u64>,
}

impl Message for LockReleaseRequest {
    const TYPE: &'static str = "io.holdfast.execution.v1.lock_release_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        opening(self.id.as_deref(), Some(&self.name), self.deadline_ms)
    }
}

/// The lock is not held under that token any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockReleaseReply {
    /// The id of the request.
    pub id: String,
    /// The CSP that answers.
    pub csp: String,
    /// The lock.
    pub name: String,
    /// The position of the log that this reflects.
    pub position: u64,
    /// Whether it was held under that token until now. That it was not is no error.
    pub released: bool,
}

impl Message for LockReleaseReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.lock_release_reply";
    const KIND: Kind = Kind::Reply;
}

/// Asks which locks are held, as any one copy knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockListRequest {
    /// Names the request in logs and in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub id: Option<String>,
    /// How long the client waits for the answer, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60_000))]
    pub deadline_ms: Option<u64>,
}

impl Message for LockListRequest {
    const TYPE: &'static str = "io.holdfast.execution.v1.lock_list_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        opening(self.id.as_deref(), None, self.deadline_ms)
    }
}

/// The locks that are held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockListReply {
    /// The id of the request.
    pub id: String,
    /// The CSP that answers.
    pub csp: String,
    /// The position of the log that this reflects.
    pub position: u64,
    /// By name.
    pub locks: Vec<HeldLock>,
    /// Whether there are more of them than one message holds; those that come last by name are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl Message for LockListReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.lock_list_reply";
    const KIND: Kind = Kind::Reply;
}

/// A lock that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldLock {
    /// Its name.
    pub name: String,
    /// Under which token.
    pub token: u64,
    /// Who, as the holder calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Until when, by the clock of the log, in milliseconds since 1970.
    pub expires_at_ms: u64,
    /// How much of the lease is left, in milliseconds; 0 if it has run out and nobody else has taken the lock.
    pub remaining_ms: u64,
}

fn opening(id: Option<&str>, name: Option<&str>, deadline_ms: Option<u64>) -> Result<(), DecodeError> {
    if let Some(id) = id {
        rules::id(id)?;
    }
    if name.is_some_and(|name| !is_name(name)) {
        return Err(DecodeError::refused("name", name_rule()));
    }
    rules::deadline(deadline_ms)
}

/// A lock is named as a request is.
fn is_name(name: &str) -> bool {
    (1..=MAX_LOCK_NAME_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn name_rule() -> String {
    format!("must be 1 to {MAX_LOCK_NAME_BYTES} printable ASCII characters without blanks")
}

fn holder(holder: &str) -> Result<(), DecodeError> {
    if (1..=MAX_LOCK_HOLDER_BYTES).contains(&holder.len()) && !holder.contains(char::is_control) {
        return Ok(());
    }
    let reason = format!("must have 1 to {MAX_LOCK_HOLDER_BYTES} bytes and no control characters, or be left out");
    Err(DecodeError::refused("holder", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{TransactionBeginRequest, UpdateRequest};
    use serde_json::json;

    fn acquire(body: serde_json::Value) -> Result<LockAcquireRequest, DecodeError> {
        LockAcquireRequest::decode(body.to_string().as_bytes())
    }

    #[test]
    fn a_name_is_all_that_it_takes() {
        let plain = acquire(json!({"name": "stock:7"})).unwrap();
        assert_eq!(plain, LockAcquireRequest::new("stock:7"));
        assert_eq!((plain.lease_ms, plain.wait), (DEFAULT_LOCK_LEASE_MS, true));
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let cases = [
            (json!({"name": ""}), "name"),
            (json!({"name": "a b"}), "name"),
            (json!({"name": "x".repeat(MAX_LOCK_NAME_BYTES + 1)}), "name"),
            (json!({"name": "a", "lease_ms": MIN_LOCK_LEASE_MS - 1}), "lease_ms"),
            (json!({"name": "a", "lease_ms": MAX_LOCK_LEASE_MS + 1}), "lease_ms"),
            (json!({"name": "a", "holder": ""}), "holder"),
            (json!({"name": "a", "holder": "a\nb"}), "holder"),
            (json!({"name": "a", "holder": "x".repeat(MAX_LOCK_HOLDER_BYTES + 1)}), "holder"),
            (json!({"name": "a", "id": "b c"}), "id"),
            (json!({"name": "a", "deadline_ms": 0}), "deadline_ms"),
        ];
        for (body, field) in cases {
            let error = acquire(body.clone()).unwrap_err();
            assert!(error.to_string().contains(&format!("`{field}`")), "{body}: {error}");
        }
        assert!(acquire(json!({"name": "a", "token": -1})).is_err());
        assert!(LockReleaseRequest::decode(br#"{"name":"a"}"#).is_err(), "which acquisition?");
        assert!(LockListRequest::decode(b"{}").is_ok());
    }

    #[test]
    fn a_transaction_names_few_locks_and_each_once() {
        let update = |locks: serde_json::Value| {
            UpdateRequest::decode(json!({"sql": "RETURN 1", "locks": locks}).to_string().as_bytes())
        };
        let lock = |name: &str| json!({"name": name, "token": 7});
        let many = |count: usize| (0..count).map(|index| lock(&index.to_string())).collect::<serde_json::Value>();
        assert_eq!(update(json!([lock("a")])).unwrap().locks, [LockToken { name: "a".to_owned(), token: 7 }]);
        assert!(update(many(MAX_LOCKS_PER_REQUEST)).is_ok());
        for bad in [many(MAX_LOCKS_PER_REQUEST + 1), json!([lock("a"), lock("a")]), json!([lock("")])] {
            let error = update(bad.clone()).unwrap_err();
            assert!(error.to_string().contains("`locks`"), "{bad}: {error}");
        }
        assert!(update(json!([{"name": "a"}])).is_err());
        assert!(update(json!([{"name": "a", "token": 1, "lease_ms": 1}])).is_err());
        let begin = |locks: serde_json::Value| {
            TransactionBeginRequest::decode(json!({ "locks": locks }).to_string().as_bytes())
        };
        assert_eq!(begin(json!([lock("a")])).unwrap().locks.len(), 1);
        assert!(begin(json!([lock("a"), lock("a")])).is_err());
    }

    #[test]
    fn who_names_no_lock_writes_what_was_written_before_there_were_locks() {
        let bytes = UpdateRequest::new("RETURN 1").encode();
        assert!(!String::from_utf8_lossy(&bytes).contains("locks"));
    }
}
