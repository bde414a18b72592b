//! Joins publisher and applier: the queue of what wants into the log, and the ledger of what is on its way.

use holdfast_storage::CommitFailure;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::ledger::Ledger;
use super::submission::{AfterVoid, Resolved, Submission, after_void, outcome_of};
use crate::entry::Entry;
use crate::model::{Applied, Outcome, Position, Record, VoidReason};

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
    ///
    /// Only a number that the certifier registered voids lower ones, so only that proves them to be lost. One that bears the chain
    /// of another log proves nothing at all: anybody may have written it there under this name.
    pub fn settle(&self, applied: &Applied) -> Vec<Resolved> {
        let Some(entry) = applied.entry.as_ref().filter(|entry| self.is_own(entry)) else { return Vec::new() };
        if matches!(applied.outcome, Outcome::Void(VoidReason::OtherLog)) {
            return Vec::new();
        }
        let number = entry.number();
        let (lost, settled) = {
            let mut ledger = self.ledger.lock();
            let lost = if is_registered(applied) { ledger.lost_below(number) } else { Vec::new() };
            (lost, if entry.is_last_part() { ledger.settle(number) } else { Vec::new() })
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

    /// Answers everything on its way with "unknown"; for a process that stops, or applies nothing any more. Some of it may be in
    /// the log.
    pub fn abandon(&self) {
        let abandoned = self.ledger.lock().abandon();
        for submission in abandoned {
            if let Submission::Transaction(waiting) = submission {
                let unknown = CommitFailure::OutcomeUnknown("the copy is stopping".to_owned());
                Resolved::Transaction(waiting.answer, Err(unknown)).send();
            }
        }
        self.progress.notify_one();
    }

    /// The incarnation of a later process under this very name, if an applied message is its word. What was not registered is
    /// nobody's word: it may come from another log.
    #[must_use]
    pub fn replaced_by(&self, applied: &Applied) -> Option<u64> {
        let entry = applied.entry.as_ref().filter(|_| is_registered(applied))?;
        let theirs = entry.incarnation();
        (entry.csp() == self.origin.csp && theirs > self.origin.incarnation).then_some(theirs)
    }

    fn is_own(&self, entry: &Entry) -> bool {
        entry.csp() == self.origin.csp && entry.incarnation() == self.origin.incarnation
    }
}

/// Whether the number of the entry in a message counts from now on.
fn is_registered(applied: &Applied) -> bool {
    applied.record != Some(Record::Void { registered: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{BatchEncoder, EntryHeader};

    const OWN: u64 = 7;

    /// What became of an empty entry under our name.
    fn applied(incarnation: u64, number: u64, reason: VoidReason, registered: bool) -> Applied {
        let header = EntryHeader {
            storage_version: 1,
            epoch: 1,
            csp: "a",
            incarnation,
            number,
            base: 0,
            base_chain: [0; 16],
            clock: None,
        };
        let messages = BatchEncoder::new().finish(&header, 1 << 20).expect("sealed");
        Applied {
            position: 1,
            log_time_ms: 1,
            entry: messages.into_iter().next().map(|message| Entry::decode(message).expect("an entry")),
            outcome: Outcome::Void(reason),
            record: Some(Record::Void { registered }),
            expired_ids: Vec::new(),
        }
    }

    #[test]
    fn only_a_registered_entry_shows_that_this_process_was_replaced() {
        let (gateway, _queue) = Gateway::new(Origin { csp: "a".to_owned(), incarnation: OWN });
        for reason in [VoidReason::OtherLog, VoidReason::BaseTooOld] {
            assert_eq!(gateway.replaced_by(&applied(OWN + 1, 1, reason, false)), None, "{reason}");
        }
        assert_eq!(gateway.replaced_by(&applied(OWN + 1, 1, VoidReason::NotPrimary, true)), Some(OWN + 1));
        assert_eq!(gateway.replaced_by(&applied(OWN, 1, VoidReason::NotPrimary, true)), None);
    }

    #[test]
    fn what_is_not_registered_proves_nothing_of_lower_numbers() {
        let (gateway, _queue) = Gateway::new(Origin { csp: "a".to_owned(), incarnation: OWN });
        for _ in 0..3 {
            gateway.seal(1, Vec::new());
        }
        let left_behind = |number, reason, registered| {
            assert!(gateway.settle(&applied(OWN, number, reason, registered)).is_empty(), "nobody waits");
            (gateway.oldest(), gateway.in_flight())
        };
        assert_eq!(left_behind(2, VoidReason::OtherLog, false), (Some(1), 3), "it is not ours at all");
        assert_eq!(left_behind(9, VoidReason::OtherLog, false), (Some(1), 3));
        assert_eq!(left_behind(2, VoidReason::BaseTooOld, false), (Some(1), 2), "it alone is void");
        assert_eq!(left_behind(3, VoidReason::NotPrimary, true), (None, 0), "what is lower is lost");
    }
}
