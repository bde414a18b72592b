//! The closed list of what can go wrong, as clients see it. Codes are stable: programs may branch on them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a request was not carried out. Each says what happened, what was not harmed, and what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request could not be understood. Nothing was done. Correct it as the message says.
    InvalidRequest,
    /// The request is larger than allowed. Nothing was done. Split it into smaller ones.
    RequestTooLarge,
    /// There is no group of this name. Nothing was done. Check the name, or define the group.
    UnknownGroup,
    /// The SQL does not parse. Nothing was done. Correct the statement.
    InvalidSql,
    /// A statement failed, so none of the transaction's statements took effect. Correct the one that is named.
    StatementFailed,
    /// A query tried to write. Nothing was written. Send it as an update.
    ReadOnly,
    /// The SQL holds BEGIN, COMMIT or CANCEL. Nothing was done. Leave them out: a request is a transaction by itself.
    TransactionStatement,
    /// Another transaction changed what this one read or wrote. Nothing was written. Send it again.
    Conflict,
    /// The transaction ran for so long that it can no longer be checked for conflicts. Nothing was written. Send it again,
    /// or make it smaller.
    TransactionTooOld,
    /// The transaction writes more than one transaction may. Nothing was written. Split it.
    TransactionTooLarge,
    /// The statements hold more in memory than a CSP allows. Nothing was written. Let them build less at a time.
    StatementTooLarge,
    /// The results are larger than one message. Nothing was changed. Ask for less: with LIMIT and START, or for fewer fields.
    AnswerTooLarge,
    /// The transaction over several messages is not open any more: it was aborted, and nothing of it happened. Begin anew.
    TransactionAborted,
    /// This message of an open transaction is not carried out again, because a later one was taken since, and the answer that it
    /// had is not kept any more. Go on with the next message, or abort.
    AnswerNotKept,
    /// The id, or the number of a message, was used for another request. Nothing was done. Choose another one.
    IdReused,
    /// Two CSPs were lost while they worked on this request, so no other one carries it out. Nothing was done. Change it before you
    /// send it again.
    RequestKills,
    /// Somebody else held the lock until the deadline. Nothing was done. Ask for it again, or wait for its lease to end.
    LockHeld,
    /// The lock is not held under this token: its lease ran out and it was taken, or it was released. Nothing was written.
    /// Acquire it anew.
    LockLost,
    /// The deadline passed before the work began, or before it was handed to the log. Nothing was written. Send it again,
    /// with more time.
    DeadlineExceeded,
    /// Whether the transaction took effect is not known. Send it again under the same id: it is carried out once at most.
    OutcomeUnknown,
    /// The copy did not reach the asked position in time. Nothing was read. Send it again, or ask for less.
    PositionNotReached,
    /// No CSP of the group can take the request now. Nothing was done. Send it again in a moment.
    Unavailable,
    /// This CSP is not the primary (any more). Nothing was written. Send it again; routing finds the new primary.
    NotPrimary,
    /// Queues are full. Nothing was done. Send it again, more slowly.
    Overloaded,
    /// The group takes updates in its update windows only, and none is open. Nothing was done, and an id of the sender's
    /// own had no outcome yet. Send it again when the next window opens: the message and `retry_after_ms` tell when.
    OutsideUpdateWindow,
    /// The service is shutting down. Nothing was done. Send it again; another instance answers.
    ShuttingDown,
    /// The log cannot be written now, so nothing was written. Reads still work. Send it again in a moment.
    LogUnavailable,
    /// The log is gone, or lost entries that were acknowledged. Nothing was written, and the group takes no updates until an
    /// operator has put the log right. Copies answer queries of consistency `any` as of where they are.
    LogLost,
    /// Another log stands where the group's log was. Nothing was written. As `log_lost`: an operator has to put it right.
    LogMismatch,
    /// This copy was set aside because it may differ from the others. Nothing was done. Another CSP answers; an operator
    /// rebuilds this one.
    Quarantined,
    /// Holdfast does not support what was asked. Nothing was done. The message names a way that works.
    Unsupported,
    /// What was to be made exists already, and differs. It was not changed. Choose another name, or change it.
    AlreadyExists,
    /// What was asked for does not exist. Nothing was done. Check the name.
    NotFound,
    /// A fault in Holdfast. What was not answered as done may or may not have been: ask again under the same id, and report
    /// the message.
    Internal,
}

impl ErrorCode {
    /// All codes, in the order in which the documents list them.
    pub const ALL: [Self; 34] = [
        Self::InvalidRequest,
        Self::RequestTooLarge,
        Self::UnknownGroup,
        Self::InvalidSql,
        Self::StatementFailed,
        Self::ReadOnly,
        Self::TransactionStatement,
        Self::Conflict,
        Self::TransactionTooOld,
        Self::TransactionTooLarge,
        Self::StatementTooLarge,
        Self::AnswerTooLarge,
        Self::TransactionAborted,
        Self::AnswerNotKept,
        Self::IdReused,
        Self::RequestKills,
        Self::LockHeld,
        Self::LockLost,
        Self::DeadlineExceeded,
        Self::OutcomeUnknown,
        Self::PositionNotReached,
        Self::Unavailable,
        Self::NotPrimary,
        Self::Overloaded,
        Self::OutsideUpdateWindow,
        Self::ShuttingDown,
        Self::LogUnavailable,
        Self::LogLost,
        Self::LogMismatch,
        Self::Quarantined,
        Self::Unsupported,
        Self::AlreadyExists,
        Self::NotFound,
        Self::Internal,
    ];

    /// Whether the same request, sent again, may succeed.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::Conflict
                | Self::TransactionTooOld
                | Self::LockHeld
                | Self::DeadlineExceeded
                | Self::OutcomeUnknown
                | Self::PositionNotReached
                | Self::Unavailable
                | Self::NotPrimary
                | Self::Overloaded
                | Self::OutsideUpdateWindow
                | Self::ShuttingDown
                | Self::LogUnavailable
                | Self::Quarantined
        )
    }

    /// Whether the request may have taken effect all the same.
    pub fn outcome_is_unknown(self) -> bool {
        matches!(self, Self::OutcomeUnknown | Self::Internal)
    }

    /// The code as it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::RequestTooLarge => "request_too_large",
            Self::UnknownGroup => "unknown_group",
            Self::InvalidSql => "invalid_sql",
            Self::StatementFailed => "statement_failed",
            Self::ReadOnly => "read_only",
            Self::TransactionStatement => "transaction_statement",
            Self::Conflict => "conflict",
            Self::TransactionTooOld => "transaction_too_old",
            Self::TransactionTooLarge => "transaction_too_large",
            Self::StatementTooLarge => "statement_too_large",
            Self::AnswerTooLarge => "answer_too_large",
            Self::TransactionAborted => "transaction_aborted",
            Self::AnswerNotKept => "answer_not_kept",
            Self::IdReused => "id_reused",
            Self::RequestKills => "request_kills",
            Self::LockHeld => "lock_held",
            Self::LockLost => "lock_lost",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::PositionNotReached => "position_not_reached",
            Self::Unavailable => "unavailable",
            Self::NotPrimary => "not_primary",
            Self::Overloaded => "overloaded",
            Self::OutsideUpdateWindow => "outside_update_window",
            Self::ShuttingDown => "shutting_down",
            Self::LogUnavailable => "log_unavailable",
            Self::LogLost => "log_lost",
            Self::LogMismatch => "log_mismatch",
            Self::Quarantined => "quarantined",
            Self::Unsupported => "unsupported",
            Self::AlreadyExists => "already_exists",
            Self::NotFound => "not_found",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_stands_on_the_wire() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
