//! The messages, one file for each thing that is talked about.

mod administration;
mod control;
mod csp;
mod digest;
mod error;
mod execution;
mod group;
mod heartbeat;
mod lock;
mod log_change;
mod log_control;
mod pool;
mod query;
mod reply;
mod status;
mod supervision;
mod supervision_policy;
mod task;
mod transaction;
mod update;
mod update_window;

pub use administration::{
    CspView, GroupDefineReply, GroupDefineRequest, GroupListReply, GroupListRequest, GroupOwner, GroupStatusReply,
    GroupStatusRequest, LogView,
};
pub use control::{ControlAction, ControlReply, ControlRequest};
pub use csp::CspState;
pub use digest::{DigestReply, DigestRequest};
pub use error::{ErrorBody, ErrorReply, decode_reply};
pub use execution::{
    Assignment, AssignmentMoveReply, AssignmentMoveRequest, Completions, Presence, Returned, TASK_REPLICATION,
};
pub use group::{GroupDefinition, Isolation, Replication, Storage};
pub use heartbeat::{Heartbeat, UpdateRefusal};
pub use lock::{
    HeldLock, LockAcquireReply, LockAcquireRequest, LockListReply, LockListRequest, LockReleaseReply,
    LockReleaseRequest, LockToken,
};
pub use log_change::LogChange;
pub use log_control::LogControl;
pub use pool::PoolDefinition;
pub use query::{Consistency, QueryRequest};
pub use reply::{QueryReply, Results, ResultsDropped, UpdateReply, query_reply_bytes, update_reply_bytes};
pub use status::{CatchUp, Counters, StatusReply, StatusRequest};
pub use supervision::{Accusation, CspStateChange, Doubt, Hint, NodeAlive, NodeStateChange, Opinion};
pub use supervision_policy::{PolicyError, SupervisionPolicy};
pub use task::TaskDefinition;
pub use transaction::{
    TransactionBeginReply, TransactionBeginRequest, TransactionExecuteReply, TransactionExecuteRequest,
    TransactionRequest, TransactionState, TransactionStatusReply, TransactionToken, transaction_execute_reply_bytes,
};
pub use update::UpdateRequest;
pub use update_window::{OutsideWindow, TimeOfDay, UpdateWindow, UpdateWindows, Weekday};

/// The namespace or database of a request that names none.
pub const DEFAULT_DATABASE: &str = "main";

fn default_database() -> String {
    DEFAULT_DATABASE.to_owned()
}

/// The rules that updates and queries share.
mod rules {
    use super::{LockToken, UpdateRequest, query::QueryRequest};
    use crate::codec::DecodeError;
    use crate::limits::{MAX_DATABASE_NAME_BYTES, MAX_DEADLINE_MS, MAX_ID_BYTES};

    pub(super) fn update(request: &UpdateRequest) -> Result<(), DecodeError> {
        common(request.id.as_deref(), &request.ns, &request.db, &request.sql, request.deadline_ms)?;
        LockToken::check_all(&request.locks)
    }

    pub(super) fn query(request: &QueryRequest) -> Result<(), DecodeError> {
        common(request.id.as_deref(), &request.ns, &request.db, &request.sql, request.deadline_ms)
    }

    fn common(id: Option<&str>, ns: &str, db: &str, sql: &str, deadline_ms: Option<u64>) -> Result<(), DecodeError> {
        opening(id, ns, db, deadline_ms)?;
        self::sql(sql)
    }

    /// What a request says before its statements.
    pub(super) fn opening(id: Option<&str>, ns: &str, db: &str, deadline_ms: Option<u64>) -> Result<(), DecodeError> {
        if let Some(id) = id {
            self::id(id)?;
        }
        database("ns", ns)?;
        database("db", db)?;
        deadline(deadline_ms)
    }

    pub(super) fn sql(sql: &str) -> Result<(), DecodeError> {
        if sql.trim().is_empty() {
            return Err(DecodeError::refused("sql", "is empty: send at least one statement"));
        }
        Ok(())
    }

    pub(super) fn deadline(deadline_ms: Option<u64>) -> Result<(), DecodeError> {
        match deadline_ms {
            Some(ms) if !(1..=MAX_DEADLINE_MS).contains(&ms) => Err(DecodeError::refused(
                "deadline_ms",
                format!("is {ms}: send 1 to {MAX_DEADLINE_MS}, or leave it out"),
            )),
            _ => Ok(()),
        }
    }

    /// An id travels in a header too, so it must be printable ASCII without blanks.
    pub(super) fn id(id: &str) -> Result<(), DecodeError> {
        if (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(());
        }
        Err(DecodeError::refused(
            "id",
            format!("must be 1 to {MAX_ID_BYTES} printable ASCII characters without blanks"),
        ))
    }

    fn database(field: &'static str, name: &str) -> Result<(), DecodeError> {
        if (1..=MAX_DATABASE_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control) {
            return Ok(());
        }
        Err(DecodeError::refused(
            field,
            format!("must have 1 to {MAX_DATABASE_NAME_BYTES} bytes and no control characters"),
        ))
    }
}
