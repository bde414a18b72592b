//! The engine's door to the log: a write set goes in, its outcome comes back.

use std::future::Future;
use std::pin::Pin;

use crate::limits::Amount;
use crate::recorder::WriteSet;

/// A boxed future, as a trait object needs it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where a transaction was accepted: the position of its entry, and its index among the entry's transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Committed {
    /// Position of the entry in the log.
    pub position: u64,
    /// Place inside the entry.
    pub index: u32,
}

/// Why a transaction was not committed. Every variant but [`CommitFailure::OutcomeUnknown`] says that nothing happened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitFailure {
    /// Something that it read or wrote changed between its snapshot and its place in the log. Run it again.
    #[error("conflict with the transaction at position {position}")]
    Conflict {
        /// The position that won.
        position: u64,
    },
    /// Others that want the same are before it at this copy, so it was not sent. Run it again when it is its turn.
    #[error("others that change the same are before it")]
    Contended,
    /// A lock that it was to hold is not held under its token in the snapshot. Nothing was begun.
    #[error("the lock {name:?} is not held under the token {token}")]
    LockLost {
        /// The lock.
        name: String,
        /// The token that the request bears.
        token: u64,
    },
    /// It was open for longer than the certifier's memory reaches. Run it again, or make it shorter.
    #[error("the transaction's snapshot is older than what the group remembers")]
    TooOld,
    /// A transaction with the same id was committed before; its outcome stands, and this one was dropped.
    #[error("the id was committed before, at position {}", first.position)]
    Duplicate {
        /// Where the first one is.
        first: Committed,
    },
    /// It is larger than a transaction may be. Split the work.
    #[error("the transaction is too large: it has {found} {amount}, and {limit} are the most")]
    TooLarge {
        /// What there is too much of.
        amount: Amount,
        /// How much there is; at least, when it was stopped on its way.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// This copy may not commit: another one is the primary. Send the request there.
    #[error("this copy is not the group's primary")]
    NotPrimary,
    /// The log could not be reached and the entry was not sent. Try again later.
    #[error("the log cannot be reached: {0}")]
    Unavailable(String),
    /// The log takes nothing, or is not the one that this copy has applied, and says why. The entry was not sent.
    #[error("{reason}")]
    LogRefused {
        /// What is wrong with the log.
        fault: LogFault,
        /// One sentence.
        reason: String,
    },
    /// The copy is being stopped. Send the request to another one.
    #[error("the copy is shutting down")]
    ShuttingDown,
    /// It may or may not be in the log. Ask again with the same id; never report it as failed.
    #[error("the outcome is not known: {0}")]
    OutcomeUnknown(String),
}

/// What is wrong with a log that is not written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFault {
    /// It takes nothing for now.
    Refuses,
    /// It lost what was acknowledged, or is gone.
    Lost,
    /// It is another one.
    Mismatch,
}

/// Stands in front of a [`CommitFailure`]'s words where SurrealDB carries them as text only: they look like those of the inner
/// engine otherwise, and nothing is wrong with the copy.
pub const REFUSED_BY_THE_LOG: &str = "refused by the log: ";

/// Takes write sets and says what became of them.
pub trait CommitLog: Send + Sync + 'static {
    /// Gives the write set a place in the log and resolves once this copy has applied that place, or once it is certain
    /// that there will be none. The caller runs it in a task of its own: dropped halfway, the entry may be in the log.
    fn commit(&self, write_set: WriteSet) -> BoxFuture<'static, Result<Committed, CommitFailure>>;

    /// Whether reads are certified too (serializable) or only writes and locked reads (snapshot isolation).
    fn certifies_reads(&self) -> bool;
}
