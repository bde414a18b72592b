//! How far an import has come, and whether a further run can go on from there without doing anything twice.
//!
//! The group remembers the id of each update for a stated time. Within it, the batch that was under way when an import
//! was cut off is simply sent again under its old id. Later than that, only a person can know whether it took effect.

use serde::{Deserialize, Serialize};

/// What is kept beside the imported file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being imported, and where to: a different file or group is a different import.
    pub fingerprint: String,
    /// How many batches are in for certain.
    pub done: usize,
    /// When the batch behind those was sent, unless its outcome is known.
    pub sent_at_ms: Option<u64>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Send from this batch on.
    From(usize),
    /// This batch may be in or not, and the group no longer knows.
    Doubtful(usize),
}

impl Progress {
    /// Nothing is in.
    #[must_use]
    pub fn none(fingerprint: String) -> Self {
        Self { fingerprint, done: 0, sent_at_ms: None }
    }

    /// Where a run that begins now goes on.
    #[must_use]
    pub fn resume(&self, now_ms: u64, ids_kept_ms: u64) -> Resume {
        // Half of the time, since the group counts by its log's clock and this machine by its own.
        match self.sent_at_ms {
            Some(sent) if now_ms.saturating_sub(sent) > ids_kept_ms / 2 => Resume::Doubtful(self.done),
            _ => Resume::From(self.done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Progress, Resume};

    #[test]
    fn a_known_outcome_is_gone_on_from_however_late() {
        let progress = Progress { done: 4, ..Progress::none("f".into()) };
        assert_eq!(progress.resume(u64::MAX, 600_000), Resume::From(4));
    }

    #[test]
    fn an_unknown_one_is_repeated_while_its_id_is_kept_and_asked_about_later() {
        let progress = Progress { done: 4, sent_at_ms: Some(1_000), ..Progress::none("f".into()) };
        assert_eq!(progress.resume(100_000, 600_000), Resume::From(4));
        assert_eq!(progress.resume(400_000, 600_000), Resume::Doubtful(4));
    }
}
