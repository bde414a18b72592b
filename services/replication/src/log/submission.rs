//! What is handed to the publisher, and how it is answered.

use std::sync::Arc;

use holdfast_storage::{CommitFailure, Committed, WriteSet};
use tokio::sync::oneshot;

use crate::contention::Passage;
use crate::fault::{self, Sabotage};
use crate::model::{Position, Verdict, VoidReason};

/// The sender's side of an outcome.
#[derive(Debug)]
pub struct Answer {
    outcome: oneshot::Sender<Result<Committed, CommitFailure>>,
    /// Ends behind the answer, and lets others go on that want the same.
    passage: Option<Passage>,
}

impl Answer {
    /// To whoever waits, and what ends with it.
    #[must_use]
    pub fn new(outcome: oneshot::Sender<Result<Committed, CommitFailure>>, passage: Option<Passage>) -> Self {
        Self { outcome, passage }
    }

    /// Tells the outcome. That nobody waits any more is no error: it is in the log all the same.
    pub fn send(self, outcome: Result<Committed, CommitFailure>) {
        let is_accepted = outcome.is_ok();
        let _ = self.outcome.send(outcome);
        if let Some(passage) = self.passage {
            passage.end(is_accepted);
        }
    }
}

/// Something that wants a place in the log.
#[derive(Debug)]
pub enum Submission {
    /// A transaction.
    Transaction(Box<Waiting>),
    /// Nothing but the knowledge of a place in the log: answered with its position once this copy has applied it. Whatever
    /// was acknowledged before this was submitted is then visible here.
    Barrier(oneshot::Sender<Position>),
}

impl Submission {
    /// Whether a client's request stands behind it, and not SurrealDB's own housekeeping.
    #[must_use]
    pub fn is_of_a_client(&self) -> bool {
        matches!(self, Self::Transaction(waiting) if waiting.write_set.id().is_some())
    }
}

/// A transaction, and who waits for its outcome.
#[derive(Debug)]
pub struct Waiting {
    /// What it did; kept until its fate is known, because a lost entry is sent again.
    pub write_set: Arc<WriteSet>,
    /// The epoch outside of which it is not to be committed; none when it is right in any.
    pub epoch: Option<u64>,
    /// Who waits.
    pub answer: Answer,
}

/// An answer that may be given once the copy holds what it speaks of.
#[derive(Debug)]
pub enum Resolved {
    /// The outcome of a transaction.
    Transaction(Answer, Result<Committed, CommitFailure>),
    /// A barrier was passed.
    Barrier(oneshot::Sender<Position>, Position),
}

impl Resolved {
    /// Whether a transaction is answered, and not a barrier.
    #[must_use]
    pub fn is_of_a_transaction(&self) -> bool {
        matches!(self, Self::Transaction(..))
    }

    /// Tells whoever waits. That nobody waits any more is no error: the outcome is in the log all the same.
    pub fn send(self) {
        match self {
            Self::Transaction(answer, outcome) => answer.send(outcome),
            Self::Barrier(answer, position) => drop(answer.send(position)),
        }
    }
}

/// What the committer is told of a verdict about its transaction at `position`, `index`.
pub fn outcome_of(verdict: Verdict, position: Position, index: u32) -> Result<Committed, CommitFailure> {
    match verdict {
        Verdict::Accepted => Ok(Committed { position, index }),
        Verdict::Conflict { .. } if fault::breaks(Sabotage::TellLostAsDone) => Ok(Committed { position, index }),
        Verdict::Conflict { position, .. } => Err(CommitFailure::Conflict { position }),
        // The group became serializable meanwhile: run again, the reads will be captured.
        Verdict::ReadsUnknown => Err(CommitFailure::Conflict { position }),
        Verdict::TooOld { .. } => Err(CommitFailure::TooOld),
        Verdict::Duplicate(first) => {
            Err(CommitFailure::Duplicate { first: Committed { position: first.position, index: first.index } })
        }
        Verdict::Void(reason) => Err(CommitFailure::Unavailable(reason.to_string())),
    }
}

/// What to do with the transactions of an own entry that does not count.
pub enum AfterVoid {
    /// Nothing is wrong with them: send them again.
    SendAgain,
    /// Tell whoever waits.
    Answer(CommitFailure),
}

/// Decides what a void entry means for its transactions.
pub fn after_void(reason: VoidReason) -> AfterVoid {
    match reason {
        VoidReason::Superseded | VoidReason::Incomplete | VoidReason::BaseTooOld => AfterVoid::SendAgain,
        VoidReason::NotPrimary => AfterVoid::Answer(CommitFailure::NotPrimary),
        // Never of an own entry: what does not fit is refused before it is sealed.
        VoidReason::TooLarge | VoidReason::Foreign | VoidReason::Malformed | VoidReason::OtherLog => {
            AfterVoid::Answer(CommitFailure::Unavailable(reason.to_string()))
        }
    }
}
