//! What SurrealDB's failures mean to a client.

use holdfast_storage::REFUSED_BY_THE_LOG;
use surrealdb_types::{Error as TypesError, ErrorDetails, QueryError};

use crate::error::StatementError;

/// In a read transaction, "read only" is what SurrealDB says when a statement writes; the words differ by statement.
pub(crate) fn as_query_error(error: StatementError) -> StatementError {
    match &error {
        StatementError::Statement { message, .. } if says_read_only(message) => StatementError::ReadOnly,
        StatementError::Failed(message) if says_read_only(message) => StatementError::ReadOnly,
        _ => error,
    }
}

fn says_read_only(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("read only transaction") || message.contains("read-only") || message.contains("readonly")
}

pub(crate) fn types_failure(index: usize, cause: &TypesError) -> StatementError {
    match cause.details() {
        ErrorDetails::Query(Some(QueryError::TransactionConflict)) => {
            StatementError::Conflict(cause.message().to_owned())
        }
        // Only the deadline cancels statements, or a failure before them, which is then the first that is seen.
        ErrorDetails::Query(Some(QueryError::Cancelled)) => StatementError::Deadline,
        ErrorDetails::Internal if behind_events(cause.message()).starts_with(INDEX_REPLACED) => {
            StatementError::Conflict(cause.message().to_owned())
        }
        ErrorDetails::Internal if is_of_storage(cause.message()) => StatementError::Storage(cause.message().to_owned()),
        _ => StatementError::Statement { index, message: cause.message().to_owned() },
    }
}

/// What SurrealDB says where somebody else defined or removed an index that a statement was about to write to. It finds the new
/// definition when it is run again.
const INDEX_REPLACED: &str = "Index building has been cancelled: ";

/// What SurrealDB may say in front of all words of the engine.
const OF_KEYS: &str = "There was a problem with the key-value store: ";
/// What SurrealDB says in front of the engine's own words, where it has no error of its own for them.
const OF_STORAGE: [&str; 2] = ["There was a problem with a transaction: ", "There was a problem with the datastore: "];
/// The engine's words where nothing is wrong with the copy: what was asked of it was.
const OF_USE: [&str; 4] =
    ["Transaction retry required", "Transaction has no savepoint", "Empty key", "Interleaved iteration not supported"];

/// Whether an internal failure is the storage engine's: it could not read or write. Its errors reach us as text only, and that counts
/// from its beginning. What a client wrote may stand further behind: an internal failure that is about a value says the value too. A
/// statement cannot say this by itself, because what it throws is not internal.
#[must_use]
pub fn is_of_storage(message: &str) -> bool {
    let words = behind_events(message);
    let words = words.strip_prefix(OF_KEYS).unwrap_or(words);
    let engine = OF_STORAGE.iter().find_map(|prefix| words.strip_prefix(prefix));
    engine.is_some_and(|words| {
        !words.starts_with(REFUSED_BY_THE_LOG) && !OF_USE.iter().any(|of_use| words.starts_with(of_use))
    })
}

/// What is said of a failure inside an event, behind the names of the events: one may set off another. A name of other signs than
/// these could itself look like the engine's words; behind such a one the failure is told as the statement's.
fn behind_events(message: &str) -> &str {
    const PREFIX: &str = "Error while processing event ";
    let mut words = message;
    while let Some((name, rest)) = words.strip_prefix(PREFIX).and_then(|words| words.split_once(": ")) {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            break;
        }
        words = rest;
    }
    words
}

/// What a failed commit or opening means.
pub(crate) fn failure(cause: &anyhow::Error) -> StatementError {
    use surrealdb_kvs::Error as Storage;
    let storage = cause.chain().find_map(|cause| cause.downcast_ref::<Storage>());
    match storage {
        Some(Storage::TransactionConflict(message)) => StatementError::Conflict(message.clone()),
        Some(Storage::CommitOutcomeUnknown(message)) => StatementError::OutcomeUnknown(message.clone()),
        Some(Storage::TransactionTooLarge) => StatementError::TooLarge,
        Some(Storage::Shutdown) => StatementError::ShuttingDown,
        Some(Storage::TransactionReadonly) => StatementError::ReadOnly,
        Some(other) if is_of_storage(&other.to_string()) => StatementError::Storage(other.to_string()),
        Some(other) => StatementError::Failed(other.to_string()),
        None => StatementError::Failed(format!("{cause:#}")),
    }
}
