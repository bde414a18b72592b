//! What the assignments bucket holds of one group, as the watch and our own writes tell it, and what is being written.
//!
//! A bucket can be lost. What it held is remembered here, so that it can be written again and no epoch is given twice.

use holdfast_schemas::message::Assignment;
use std::collections::BTreeMap;

/// The tasks of one group.
#[derive(Debug, Default)]
pub struct Ledger {
    places: BTreeMap<String, Place>,
}

/// One task's place.
#[derive(Debug, Default)]
struct Place {
    /// As last read or written.
    assignment: Option<Assignment>,
    /// What a write must expect: the place's last revision, 0 where the bucket has none.
    revision: u64,
    /// Whether the bucket holds it.
    stored: bool,
    /// What is being written at this moment.
    writing: Option<Assignment>,
}

impl Ledger {
    /// The bucket holds `assignment` under `revision`. What is older than what is known is left aside.
    pub fn read(&mut self, assignment: Assignment, revision: u64) {
        let place = self.places.entry(assignment.task.clone()).or_default();
        if revision > place.revision {
            place.assignment = Some(assignment);
            place.revision = revision;
            place.stored = true;
        }
    }

    /// Somebody deleted the task's entry.
    pub fn deleted(&mut self, task: &str, revision: u64) {
        let place = self.places.entry(task.to_owned()).or_default();
        if revision > place.revision {
            place.revision = revision;
            place.stored = false;
        }
    }

    /// The bucket was made anew: it holds nothing, and counts from the start.
    pub fn lost(&mut self) {
        for place in self.places.values_mut() {
            place.revision = 0;
            place.stored = false;
        }
    }

    /// A write begins. A second one for the same task could only lose against it.
    pub fn begin(&mut self, assignment: &Assignment) {
        self.places.entry(assignment.task.clone()).or_default().writing = Some(assignment.clone());
    }

    /// A write has ended, one way or another.
    pub fn end(&mut self, task: &str) {
        if let Some(place) = self.places.get_mut(task) {
            place.writing = None;
        }
    }

    /// Whether a write of the task is under way.
    pub fn is_writing(&self, task: &str) -> bool {
        self.places.get(task).is_some_and(|place| place.writing.is_some())
    }

    /// Who holds the task, or will if the write under way succeeds: what those should know who are assigned next.
    pub fn next_holder(&self, task: &str) -> Option<&str> {
        let place = self.places.get(task)?;
        place.writing.as_ref().or(place.assignment.as_ref())?.csp.as_deref()
    }

    /// The task's last assignment, whether the bucket still holds it or not.
    pub fn assignment(&self, task: &str) -> Option<&Assignment> {
        self.places.get(task)?.assignment.as_ref()
    }

    /// Who holds the task on record.
    pub fn holder(&self, task: &str) -> Option<&str> {
        self.assignment(task)?.csp.as_deref()
    }

    /// The highest epoch that was ever on record for the task.
    pub fn epoch(&self, task: &str) -> u64 {
        self.assignment(task).map_or(0, |assignment| assignment.epoch)
    }

    /// The epoch in which the task last moved because its holder was gray, as far as the record says.
    pub fn gray_epoch(&self, task: &str) -> Option<u64> {
        self.assignment(task)?.gray_epoch
    }

    /// The revision that a write of the task must expect.
    pub fn revision(&self, task: &str) -> u64 {
        self.places.get(task).map_or(0, |place| place.revision)
    }

    /// Whether the bucket holds the task.
    pub fn is_stored(&self, task: &str) -> bool {
        self.places.get(task).is_some_and(|place| place.stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(csp: &str, epoch: u64) -> Assignment {
        let (group, task) = ("g".to_owned(), "t".to_owned());
        Assignment {
            group,
            task,
            csp: Some(csp.to_owned()),
            epoch,
            since_ms: 0,
            cause: String::new(),
            gray_epoch: None,
        }
    }

    #[test]
    fn what_is_older_teaches_nothing() {
        let mut ledger = Ledger::default();
        ledger.read(assignment("b", 2), 5);
        ledger.read(assignment("a", 1), 4);
        assert_eq!((ledger.holder("t"), ledger.epoch("t"), ledger.revision("t")), (Some("b"), 2, 5));
    }

    #[test]
    fn what_is_being_written_counts_for_those_who_come_next() {
        let mut ledger = Ledger::default();
        ledger.begin(&assignment("a", 1));
        assert!(ledger.is_writing("t") && ledger.holder("t").is_none());
        assert_eq!(ledger.next_holder("t"), Some("a"));
        ledger.end("t");
        assert!(!ledger.is_writing("t") && ledger.next_holder("t").is_none());
    }

    #[test]
    fn a_lost_bucket_and_a_deleted_entry_are_remembered() {
        let mut ledger = Ledger::default();
        ledger.read(assignment("b", 2), 5);
        ledger.deleted("t", 6);
        assert!(!ledger.is_stored("t") && ledger.epoch("t") == 2 && ledger.revision("t") == 6);
        ledger.lost();
        assert_eq!((ledger.holder("t"), ledger.revision("t")), (Some("b"), 0));
        ledger.read(assignment("c", 3), 1);
        assert!(ledger.is_stored("t") && ledger.holder("t") == Some("c"));
    }
}
