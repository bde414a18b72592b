//! What stands behind a SurrealDB commit on this copy: the gateway, or in a primary group the way to the primary. What is certain
//! to lose goes neither way (`contention`).
//!
//! What SurrealDB writes for itself goes that way. Of a client's update it is the request that goes to the primary, never its
//! commit: it can be run again there. A transaction over several messages cannot, so its commit is handed to the primary, under
//! its id, which counts once in the log. It can therefore be handed over again when no answer came, or to the next primary, and
//! is told as committed if any of that took effect.

use std::sync::Arc;
use std::time::Duration;

use holdfast_storage::{BoxFuture, CommitFailure, CommitLog, Committed, WriteSet};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::contention::{Admission, Contention, Passage};
use crate::fault::{self, Step};
use crate::forward::{Forward, PRIMARY_MAX};
use crate::log::{Answer, Gateway, Submission, Waiting};
use crate::model::contention::Footprint;
use crate::model::{Isolation, Replication};
use crate::view::AppliedView;

/// How long one attempt to hand a client's commit to the primary may take; it is sent again then.
const ATTEMPT_MAX: Duration = Duration::from_secs(1);
/// Between two attempts, at first; doubled with each.
const PAUSE: Duration = Duration::from_millis(10);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// Commits through the log.
#[derive(Clone)]
pub struct Committer {
    gateway: Arc<Gateway>,
    view: Arc<AppliedView>,
    forward: Arc<Forward>,
    contention: Arc<Contention>,
}

impl Committer {
    /// A committer of this copy.
    #[must_use]
    pub fn new(
        gateway: Arc<Gateway>,
        view: Arc<AppliedView>,
        forward: Arc<Forward>,
        contention: Arc<Contention>,
    ) -> Self {
        Self { gateway, view, forward, contention }
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

impl Committer {
    /// Commits a client's transaction wherever the primary is by now, for as long as that may take.
    async fn commit_anywhere(self, write_set: Arc<WriteSet>) -> Result<Committed, CommitFailure> {
        let deadline = Instant::now() + PRIMARY_MAX;
        let (mut pause, mut may_be_sent) = (PAUSE, false);
        loop {
            let outcome = match self.elsewhere() {
                None => line_up(Arc::clone(&self.gateway), Arc::clone(&self.contention), Arc::clone(&write_set)).await,
                Some(Err(failure)) => Err(failure),
                Some(Ok(primary)) => self.forward.commit(&primary, &write_set, ATTEMPT_MAX).await,
            };
            // Another primary, or the same a moment later: nothing happened, or the id finds what did.
            let again = match outcome {
                Err(failure @ (CommitFailure::NotPrimary | CommitFailure::Unavailable(_))) => failure,
                Err(failure @ CommitFailure::OutcomeUnknown(_)) => {
                    may_be_sent = true;
                    failure
                }
                // That this attempt was not sent says nothing of an earlier one.
                Err(refused @ CommitFailure::LogRefused { .. }) if may_be_sent => {
                    return Err(CommitFailure::OutcomeUnknown(refused.to_string()));
                }
                outcome => return outcome,
            };
            if Instant::now() + pause >= deadline {
                return Err(if may_be_sent { CommitFailure::OutcomeUnknown(again.to_string()) } else { again });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl CommitLog for Committer {
    fn commit(&self, write_set: WriteSet) -> BoxFuture<'static, Result<Committed, CommitFailure>> {
        if write_set.is_handed_on() {
            return Box::pin(self.clone().commit_anywhere(Arc::new(write_set)));
        }
        match self.elsewhere() {
            None => Box::pin(line_up(Arc::clone(&self.gateway), Arc::clone(&self.contention), Arc::new(write_set))),
            Some(Err(failure)) => Box::pin(async { Err(failure) }),
            Some(Ok(_)) if write_set.id().is_some() => Box::pin(async { Err(CommitFailure::NotPrimary) }),
            Some(Ok(primary)) => {
                let forward = Arc::clone(&self.forward);
                Box::pin(async move { forward.commit(&primary, &write_set, PRIMARY_MAX).await })
            }
        }
    }

    fn certifies_reads(&self) -> bool {
        self.view.with(|view| view.isolation == Isolation::Serializable)
    }
}

/// Submits a write set unless it is certain to lose. One that has a ticket is given back at once if others are before it. Any
/// other waits for them, since nobody would run it again when it is its turn; and so does one that read a range, since no line has
/// all those who write into it.
async fn line_up(
    gateway: Arc<Gateway>,
    contention: Arc<Contention>,
    write_set: Arc<WriteSet>,
) -> Result<Committed, CommitFailure> {
    if fault::sends_losers() {
        return submit(gateway, write_set).await;
    }
    let footprint = Arc::new(Footprint::of(&write_set));
    let lost_over = |key| {
        if let (Some(request), Some(key)) = (&write_set.request, key) {
            request.set_contended(key);
        }
    };
    let has_ticket = write_set.request.as_ref().is_some_and(|request| request.ticket().is_some());
    let passage = loop {
        match contention.admit(&write_set, &footprint) {
            Admission::Enter(passage) => break passage,
            Admission::Behind { key, fate: Some(fate) } if !has_ticket || footprint.ranges.contains(&key) => {
                drop(fate.await);
            }
            Admission::Behind { key, .. } => {
                lost_over(Some(key));
                return Err(CommitFailure::Contended);
            }
            Admission::Lost { key, position } => {
                lost_over(Some(key));
                return Err(CommitFailure::Conflict { position });
            }
            Admission::Known(first) => {
                let first = Committed { position: first.position, index: first.index };
                return Err(CommitFailure::Duplicate { first });
            }
        }
    };
    let outcome = hand_over(gateway, Arc::clone(&write_set), None, Some(passage)).await;
    if matches!(outcome, Err(CommitFailure::Conflict { .. })) && has_ticket {
        lost_over(contention.lost_over(&write_set, &footprint));
    }
    outcome
}

/// Hands a write set to this copy's own publisher and waits for its outcome.
///
/// # Errors
/// See [`CommitFailure`].
pub async fn submit(gateway: Arc<Gateway>, write_set: impl Into<Arc<WriteSet>>) -> Result<Committed, CommitFailure> {
    hand_over(gateway, write_set.into(), None, None).await
}

/// The same for a write set that is right only as long as this copy is the primary of `epoch`.
///
/// # Errors
/// [`CommitFailure::NotPrimary`] when it is not any more, else see [`CommitFailure`].
pub async fn submit_in(gateway: Arc<Gateway>, write_set: WriteSet, epoch: u64) -> Result<Committed, CommitFailure> {
    hand_over(gateway, Arc::new(write_set), Some(epoch), None).await
}

async fn hand_over(
    gateway: Arc<Gateway>,
    write_set: Arc<WriteSet>,
    epoch: Option<u64>,
    passage: Option<Passage>,
) -> Result<Committed, CommitFailure> {
    fault::reach(Step::BeforeSubmit, write_set.id().is_some());
    let (answer, outcome) = oneshot::channel();
    let answer = Answer::new(answer, passage);
    gateway.submit(Submission::Transaction(Box::new(Waiting { write_set, epoch, answer })));
    // A dropped answer means that the publisher stopped: what it held may have been sent before.
    outcome.await.unwrap_or_else(|_| Err(CommitFailure::OutcomeUnknown("the copy is stopping".to_owned())))
}
