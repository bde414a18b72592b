//! For how long a task that moved because its holder was gray stays where it is, should that one turn gray too.
//!
//! When a whole group is slow, moving a task helps nobody: each holder would be found slow in its turn. So a task moves for
//! that reason once, and not again until the new holder has had its time. The record says in which epoch it moved; the time
//! is counted here, from when that was first seen, so that no clock of another machine is needed. An instance that has just
//! begun to lead counts from its own beginning.

use std::collections::BTreeMap;

/// The tasks of one group that moved for grayness.
#[derive(Debug, Default)]
pub struct Rests {
    tasks: BTreeMap<String, Seen>,
}

/// An epoch in which a task moved, and when that was first seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    epoch: u64,
    at_ms: u64,
}

impl Rests {
    /// The record says that the task last moved for grayness in `gray_epoch`.
    pub fn note(&mut self, task: &str, gray_epoch: Option<u64>, now_ms: u64) {
        let Some(epoch) = gray_epoch else { return };
        if self.tasks.get(task).is_none_or(|seen| seen.epoch != epoch) {
            self.tasks.insert(task.to_owned(), Seen { epoch, at_ms: now_ms });
        }
    }

    /// Whether the task stays where it is, for `rest_ms` after it moved.
    pub fn is_resting(&self, task: &str, rest_ms: u64, now_ms: u64) -> bool {
        self.tasks.get(task).is_some_and(|seen| now_ms.saturating_sub(seen.at_ms) < rest_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_rests_from_when_its_move_was_first_seen() {
        let mut rests = Rests::default();
        rests.note("t", None, 0);
        assert!(!rests.is_resting("t", 100, 0));
        rests.note("t", Some(2), 50);
        rests.note("t", Some(2), 120);
        assert!(rests.is_resting("t", 100, 149) && !rests.is_resting("t", 100, 150));
        rests.note("t", Some(5), 200);
        assert!(rests.is_resting("t", 100, 299), "it moved again");
        assert!(!rests.is_resting("other", 100, 200));
    }
}
