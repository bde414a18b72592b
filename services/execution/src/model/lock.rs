//! What routing needs of messages about locks.
//!
//! A ticket machine at a counter: who waits for the same thing stands at the same counter, where it is seen at once that the
//! turn has come. In a group of peers a lock's name decides which CSP that is; any other would do, since the log decides, and
//! only learn a little later that the lock is free.

use super::request::{Request, affinity};
use super::route::Need;
use holdfast_schemas::message::{LockAcquireRequest, LockListRequest, LockReleaseRequest};
use holdfast_schemas::{DecodeError, Message, limits};

/// What a client wants with locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockVerb {
    /// Take one, or hold on to it for longer.
    Acquire,
    /// Give one back.
    Release,
    /// See which are held.
    List,
}

impl LockVerb {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Acquire, Self::Release, Self::List];

    /// The last part of its subject.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::Release => "release",
            Self::List => "list",
        }
    }
}

/// Checks a body by the contract's own type and takes out of it what routing needs.
pub(super) fn decode(verb: LockVerb, body: &[u8]) -> Result<Request, DecodeError> {
    let (id, deadline_ms, need, name) = match verb {
        LockVerb::Acquire => {
            let request = LockAcquireRequest::decode(body)?;
            // A renewal is answered at once: nobody else can hold the lock under that token.
            let may_stand = request.wait && request.token.is_none();
            let need = if may_stand { Need::Turn } else { Need::Update };
            (request.id, request.deadline_ms, need, Some(request.name))
        }
        LockVerb::Release => {
            let request = LockReleaseRequest::decode(body)?;
            (request.id, request.deadline_ms, Need::Update, Some(request.name))
        }
        LockVerb::List => {
            let request = LockListRequest::decode(body)?;
            (request.id, request.deadline_ms, Need::Any { max_lag_ms: None }, None)
        }
    };
    let deadline_ms = deadline_ms.unwrap_or(limits::DEFAULT_DEADLINE_MS);
    Ok(Request { id, deadline_ms, need, affinity: name.as_deref().map(affinity), pool: None, holder: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::{Kind, read};
    use holdfast_schemas::ErrorCode;

    fn taken(verb: LockVerb, body: &str) -> Request {
        read(Kind::Lock(verb), body.as_bytes()).unwrap()
    }

    #[test]
    fn only_who_waits_for_somebody_else_may_stand_at_the_csp() {
        let need = |body: &str| taken(LockVerb::Acquire, body).need;
        assert_eq!(need(r#"{"name":"a"}"#), Need::Turn);
        assert_eq!(need(r#"{"name":"a","wait":false}"#), Need::Update);
        assert_eq!(need(r#"{"name":"a","token":7}"#), Need::Update, "a renewal");
        assert_eq!(taken(LockVerb::Release, r#"{"name":"a","token":7}"#).need, Need::Update);
        assert_eq!(taken(LockVerb::List, "{}").need, Need::Any { max_lag_ms: None });
    }

    #[test]
    fn everything_about_one_lock_meets_at_one_csp() {
        let acquire = taken(LockVerb::Acquire, r#"{"id":"x","name":"a","deadline_ms":60000}"#);
        assert_eq!((acquire.id.as_deref(), acquire.deadline_ms), (Some("x"), 60_000));
        assert!(acquire.affinity.is_some());
        assert_eq!(acquire.affinity, taken(LockVerb::Release, r#"{"name":"a","token":7}"#).affinity);
        assert_ne!(acquire.affinity, taken(LockVerb::Acquire, r#"{"name":"b"}"#).affinity);
        assert_eq!(taken(LockVerb::List, "{}").affinity, None);
    }

    #[test]
    fn bad_ones_are_refused_with_the_contracts_sentence() {
        for (verb, body) in [
            (LockVerb::Acquire, "{}"),
            (LockVerb::Acquire, r#"{"name":"a b"}"#),
            (LockVerb::Acquire, r#"{"name":"a","lease_ms":1}"#),
            (LockVerb::Release, r#"{"name":"a"}"#),
            (LockVerb::List, r#"{"name":"a"}"#),
        ] {
            let refusal = read(Kind::Lock(verb), body.as_bytes()).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidRequest, "{body}: {}", refusal.message);
        }
    }
}
