//! What can go wrong, as the caller has to know it.

/// The datastore could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{step} failed")]
pub struct OpenError {
    step: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl OpenError {
    pub(crate) fn at<E: Into<Box<dyn std::error::Error + Send + Sync>>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self { step, source: source.into() }
    }
}

impl OpenError {
    /// Whether the copy's storage failed: it could not be read or written.
    #[must_use]
    pub fn is_of_storage(&self) -> bool {
        crate::failures::is_of_storage(&self.source.to_string())
    }
}

/// Statements were not carried out. Every variant but [`StatementError::OutcomeUnknown`] says that nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// It is no SurrealQL. Correct the text.
    #[error("{0}")]
    Parse(String),
    /// It holds BEGIN, COMMIT or CANCEL. Leave them out: a request is one transaction already.
    #[error("a request is one transaction already: leave out {0}")]
    TransactionStatement(&'static str),
    /// It asks for something that is not replicated correctly, and is therefore refused.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A query tried to write. Send it as an update.
    #[error("a query cannot write: send it as an update")]
    ReadOnly,
    /// A statement failed, and with it the whole transaction.
    #[error("{message}")]
    Statement {
        /// Which one, counted from 0.
        index: usize,
        /// SurrealDB's own words.
        message: String,
    },
    /// SurrealDB broke on a statement. Change the statements.
    #[error("SurrealDB broke on a statement ({0})")]
    Panicked(String),
    /// It lost against another transaction. Run it again.
    #[error("the transaction lost against another one: {0}")]
    Conflict(String),
    /// It writes more than one transaction may.
    #[error("the transaction is too large: split it")]
    TooLarge,
    /// The results are larger than they may be.
    #[error("the results have {bytes} bytes or more, and {limit} are the most")]
    ResultsTooLarge {
        /// How many bytes they have, at least.
        bytes: usize,
        /// How many they may have.
        limit: usize,
    },
    /// It built more in memory than statements may.
    #[error("the statements hold more in memory than this CSP allows them")]
    TooMuchMemory,
    /// It was not done by the deadline, and was given up before its commit.
    #[error("the deadline passed before the statements were done")]
    Deadline,
    /// The copy's storage failed: a block cannot be read, the disk is full. It says nothing of the statements: another copy can
    /// carry them out.
    #[error("this copy's storage failed: {0}")]
    Storage(String),
    /// The copy is being stopped.
    #[error("the copy is shutting down")]
    ShuttingDown,
    /// It may or may not have been committed. Ask again with the same id.
    #[error("the outcome is not known: {0}")]
    OutcomeUnknown(String),
    /// The log did not take it, or something broke inside. Nothing was changed.
    #[error("{0}")]
    Failed(String),
}
