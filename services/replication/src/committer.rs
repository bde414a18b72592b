//! What stands behind a SurrealDB commit on this copy: the gateway, or in a primary group the way to the primary.
//!
//! Only what SurrealDB writes for itself goes that way. A client's transaction is bound to its id, which lets the request be
//! carried out once at most, by whichever copy: the request goes to the primary, never its commit.

use std::sync::Arc;

use holdfast_storage::{BoxFuture, CommitFailure, CommitLog, Committed, WriteSet};
use tokio::sync::oneshot;

use crate::fault::{self, Step};
use crate::forward::Forward;
use crate::log::{Gateway, Submission, Waiting};
use crate::model::{Isolation, Replication};
use crate::view::AppliedView;

/// Commits through the log.
pub struct Committer {
    gateway: Arc<Gateway>,
    view: Arc<AppliedView>,
    forward: Arc<Forward>,
}

impl Committer {
    /// A committer of this copy.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, view: Arc<AppliedView>, forward: Arc<Forward>) -> Self {
        Self { gateway, view, forward }
    }

    /// The primary to hand a commit to; none when this copy may commit itself.
    fn elsewhere(&self) -> Option<Result<String, CommitFailure>> {
        self.view.with(|view| match (view.replication, &view.primary) {
            (Replication::Peer, _) => None,
            (Replication::Primary, Some(primary)) if *primary == self.gateway.origin().csp => None,
            (Replication::Primary, Some(primary)) => Some(Ok(primary.clone())),
            (Replication::Primary, None) => Some(Err(CommitFailure::NotPrimary)),
        })
    }
}

impl CommitLog for Committer {
    fn commit(&self, write_set: WriteSet) -> BoxFuture<'static, Result<Committed, CommitFailure>> {
        match self.elsewhere() {
            None => Box::pin(submit(Arc::clone(&self.gateway), write_set)),
            Some(Err(failure)) => Box::pin(async { Err(failure) }),
            Some(Ok(_)) if write_set.id().is_some() => Box::pin(async { Err(CommitFailure::NotPrimary) }),
            Some(Ok(primary)) => {
                let forward = Arc::clone(&self.forward);
                Box::pin(async move { forward.commit(&primary, &write_set).await })
            }
        }
    }

    fn certifies_reads(&self) -> bool {
        self.view.with(|view| view.isolation == Isolation::Serializable)
    }
}

/// Hands a write set to this copy's own publisher and waits for its outcome.
///
/// # Errors
/// See [`CommitFailure`].
pub async fn submit(gateway: Arc<Gateway>, write_set: WriteSet) -> Result<Committed, CommitFailure> {
    hand_over(gateway, write_set, None).await
}

/// The same for a write set that is right only as long as this copy is the primary of `epoch`.
///
/// # Errors
/// [`CommitFailure::NotPrimary`] when it is not any more, else see [`CommitFailure`].
pub async fn submit_in(gateway: Arc<Gateway>, write_set: WriteSet, epoch: u64) -> Result<Committed, CommitFailure> {
    hand_over(gateway, write_set, Some(epoch)).await
}

async fn hand_over(gateway: Arc<Gateway>, write_set: WriteSet, epoch: Option<u64>) -> Result<Committed, CommitFailure> {
    fault::reach(Step::BeforeSubmit, write_set.id().is_some());
    let (answer, outcome) = oneshot::channel();
    gateway.submit(Submission::Transaction(Box::new(Waiting { write_set, epoch, answer })));
    // A dropped answer means that the publisher stopped: what it held may have been sent before.
    outcome.await.unwrap_or_else(|_| Err(CommitFailure::OutcomeUnknown("the copy is stopping".to_owned())))
}
