//! Joins publisher and applier: the queue of what wants into the log, and the ledger of what is on its way.

use holdfast_storage::CommitFailure;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::ledger::Ledger;
use super::submission::{AfterVoid, Resolved, Submission, after_void, outcome_of};
use crate::entry::Entry;
use crate::model::{Applied, Outcome, Position};

/// Who this process is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the CSP.
    pub csp: String,
    /// Grows with every start of the CSP.
    pub incarnation: u64,
}

/// Shared by the publisher, the applier, and everyone who submits.
#[derive(Debug)]
pub struct Gateway {
    origin: Origin,
    queue: mpsc::UnboundedSender<Submission>,
    ledger: Mutex<Ledger<Submission>>,
    progress: Notify,
}

impl Gateway {
    /// A gateway and the end of the queue that the publisher reads.
    #[must_use]
    pub fn new(origin: Origin) -> (Self, mpsc::UnboundedReceiver<Submission>) {
        let (queue, receiver) = mpsc::unbounded_channel();
        (Self { origin, queue, ledger: Mutex::default(), progress: Notify::new() }, receiver)
    }

    /// Who this process is in the log.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Puts something into the queue. When the publisher has stopped, its answer channel closes.
    pub fn submit(&self, submission: Submission) {
        // A closed queue drops the submission, and with it the answer's sender: the waiting side sees that.
        let _ = self.queue.send(submission);
    }

    /// Entries on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.ledger.lock().in_flight()
    }

    /// The entry that has been on its way for longest.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.ledger.lock().oldest()
    }

    /// The number of the next message.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.ledger.lock().next_number()
    }

    /// Notes a sealed entry.
    pub fn seal(&self, messages: u64, waiting: Vec<Submission>) {
        self.ledger.lock().seal(messages, waiting);
    }

    /// Resolves when the fate of some entry became known.
    pub async fn progress(&self) {
        self.progress.notified().await;
    }

    /// Settles what an applied message says about our own entries. Returns the answers, to be given after the inner commit.
    /// What was lost goes back into the queue.
    pub fn settle(&self, applied: &Applied) -> Vec<Resolved> {
        let Some(entry) = applied.entry.as_ref().filter(|entry| self.is_own(entry)) else { return Vec::new() };
        let number = entry.number();
        let (lost, settled) = {
            let mut ledger = self.ledger.lock();
            (ledger.lost_below(number), if entry.is_last_part() { ledger.settle(number) } else { Vec::new() })
        };
        for submission in lost {
            self.submit(submission);
        }
        self.progress.notify_one();
        match &applied.outcome {
            Outcome::Batch(batch) => {
                let mut index = 0;
                let mut decisions = batch.decisions().iter();
                settled
                    .into_iter()
                    .filter_map(|submission| match submission {
                        Submission::Barrier(answer) => Some(Resolved::Barrier(answer, applied.position)),
                        Submission::Transaction(waiting) => {
                            let verdict = decisions.next()?.verdict;
                            let outcome = outcome_of(verdict, applied.position, index);
                            index += 1;
                            Some(Resolved::Transaction(waiting.answer, outcome))
                        }
                    })
                    .collect()
            }
            Outcome::Void(reason) => self.settle_void(settled, applied.position, after_void(*reason)),
            Outcome::Collected | Outcome::Control { .. } => Vec::new(),
        }
    }

    fn settle_void(&self, settled: Vec<Submission>, position: Position, after: AfterVoid) -> Vec<Resolved> {
        let mut resolved = Vec::new();
        for submission in settled {
            match (submission, &after) {
                // Void or not, it has a place, and this copy has applied everything up to it.
                (Submission::Barrier(answer), _) => resolved.push(Resolved::Barrier(answer, position)),
                (submission, AfterVoid::SendAgain) => self.submit(submission),
                (Submission::Transaction(waiting), AfterVoid::Answer(failure)) => {
                    resolved.push(Resolved::Transaction(waiting.answer, Err(failure.clone())));
                }
            }
        }
        resolved
    }

    /// Answers everything on its way with "unknown"; for a process that stops. Some of it may be in the log.
    pub fn abandon(&self) {
        for submission in self.ledger.lock().abandon() {
            if let Submission::Transaction(waiting) = submission {
                let unknown = CommitFailure::OutcomeUnknown("the copy is stopping".to_owned());
                Resolved::Transaction(waiting.answer, Err(unknown)).send();
            }
        }
    }

    fn is_own(&self, entry: &Entry) -> bool {
        entry.csp() == self.origin.csp && entry.incarnation() == self.origin.incarnation
    }
}
