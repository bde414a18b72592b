//! The client request that a write transaction belongs to.
//!
//! SurrealDB opens transactions deep inside itself, and some of them (sequences, id windows) are its own. The one that
//! carries out a client's request has to be told apart from those, because its id and its results travel with its write
//! set. [`scope`] marks the moment at which it is opened; the engine picks the request up from there.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::keyspace::reserved;
use crate::log::{CommitFailure, Committed};

/// A lock that a transaction takes effect under only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    /// Its name.
    pub name: String,
    /// The token of the acquisition.
    pub token: u64,
}

impl HeldLock {
    /// Where the lock's value is.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        reserved::lock(&self.name)
    }

    /// Whether the value under [`Self::key`] is of this acquisition.
    #[must_use]
    pub fn is_held(&self, value: Option<&[u8]>) -> bool {
        value.is_some_and(|value| value.starts_with(&self.token.to_be_bytes()))
    }
}

/// What is asked for with a request, beside its statements.
#[derive(Debug, Default)]
pub struct Terms {
    /// The id under which its outcome is kept.
    pub id: Option<String>,
    /// What it asks for, as one number that is kept with the id.
    pub fingerprint: Option<u64>,
    /// Where the copy was when it came: if it took effect before, then behind this position.
    pub since: Option<u64>,
    /// It takes effect only if these are held at its place in the log.
    pub locks: Vec<HeldLock>,
    /// Its name for a caller that runs it again when it loses.
    pub ticket: Option<u64>,
    /// Whether its commit may be handed to the primary. One that can be run again there is not: its id must not be under way in two
    /// places for nothing.
    pub is_handed_on: bool,
}

/// What is known of a client's request while it is carried out, shared by the service, SurrealDB's caller and the engine.
#[derive(Debug, Default)]
pub struct Request {
    terms: Terms,
    results: OnceLock<Bytes>,
    committed: OnceLock<Committed>,
    failure: OnceLock<CommitFailure>,
    snapshot_position: AtomicU64,
    contended: OnceLock<u64>,
    index_behind_writes: AtomicBool,
}

impl Request {
    /// A request with the id under which its outcome is kept, or without one when nobody can ask for it again.
    #[must_use]
    pub fn new(id: Option<String>) -> Arc<Self> {
        Self::on(Terms { id, ..Terms::default() })
    }

    /// A request on these terms.
    #[must_use]
    pub fn on(terms: Terms) -> Arc<Self> {
        Arc::new(Self { terms, ..Self::default() })
    }

    /// The name that the request has for a caller that runs it again when it loses; none for any other.
    #[must_use]
    pub fn ticket(&self) -> Option<u64> {
        self.terms.ticket
    }

    /// Says over which key it lost, by the key's hash.
    pub fn set_contended(&self, key: u64) {
        let _ = self.contended.set(key);
    }

    /// The hash of the key over which it lost, if that is known.
    #[must_use]
    pub fn contended(&self) -> Option<u64> {
        self.contended.get().copied()
    }

    /// The locks that have to be held.
    #[must_use]
    pub fn locks(&self) -> &[HeldLock] {
        &self.terms.locks
    }

    /// The id under which the outcome and the results are kept in the database.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.terms.id.as_deref()
    }

    /// What it asks for, as one number.
    #[must_use]
    pub fn fingerprint(&self) -> Option<u64> {
        self.terms.fingerprint
    }

    /// Where the copy was when it came.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        self.terms.since
    }

    /// Whether its commit may be handed to the primary.
    #[must_use]
    pub fn is_handed_on(&self) -> bool {
        self.terms.is_handed_on
    }

    /// Hands over the results before the commit, so that they are kept with the id and a repeated request gets the same.
    pub fn set_results(&self, results: Bytes) {
        // A second call would be the same request executed twice in one place; the first results stand.
        let _ = self.results.set(results);
    }

    /// The results, once the statements have run.
    #[must_use]
    pub fn results(&self) -> Option<&Bytes> {
        self.results.get()
    }

    /// Says that an index was defined behind writes that it would miss; the transaction cannot commit.
    pub(crate) fn set_index_behind_writes(&self) {
        self.index_behind_writes.store(true, Ordering::Release);
    }

    /// Whether an index was defined behind writes of the same transaction that it would miss.
    #[must_use]
    pub fn index_behind_writes(&self) -> bool {
        self.index_behind_writes.load(Ordering::Acquire)
    }

    /// The position that the transaction's snapshot reflects; 0 until it was opened.
    #[must_use]
    pub fn snapshot_position(&self) -> u64 {
        self.snapshot_position.load(Ordering::Acquire)
    }

    /// Where the transaction was committed; `None` when it needed no place in the log.
    #[must_use]
    pub fn committed(&self) -> Option<Committed> {
        self.committed.get().copied()
    }

    /// Why the commit failed, in the log's own terms; SurrealDB's errors keep less.
    #[must_use]
    pub fn failure(&self) -> Option<&CommitFailure> {
        self.failure.get()
    }

    pub(crate) fn set_failure(&self, failure: CommitFailure) {
        let _ = self.failure.set(failure);
    }

    pub(crate) fn set_snapshot_position(&self, position: u64) {
        self.snapshot_position.store(position, Ordering::Release);
    }

    pub(crate) fn set_committed(&self, committed: Committed) {
        let _ = self.committed.set(committed);
    }
}

tokio::task_local! {
    static CURRENT: Arc<Request>;
}

/// Runs `future`; a transaction that it opens belongs to `request`. Wrap only the opening, never the statements: what
/// SurrealDB opens for itself while they run is not the client's.
pub async fn scope<F: Future>(request: Arc<Request>, future: F) -> F::Output {
    CURRENT.scope(request, future).await
}

/// The request whose transaction is being opened, if any.
pub(crate) fn current() -> Option<Arc<Request>> {
    CURRENT.try_with(Arc::clone).ok()
}
