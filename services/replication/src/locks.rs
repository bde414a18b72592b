//! The locks as this copy has applied them, and those who wait for one here: one line for each name, in the order in which they
//! came.
//!
//! Only the first of a line asks, when the lock was written or its lease is over. The applier tells of written locks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::model::lock_table::{LockTable, LockWrite};

/// The line for one lock.
#[derive(Debug)]
struct Line {
    turn: Semaphore,
    written: Notify,
}

/// The locks, and all lines at this copy.
#[derive(Debug, Default)]
pub struct Locks {
    table: Mutex<LockTable>,
    is_sweeping: AtomicBool,
    lines: Mutex<HashMap<Box<str>, Arc<Line>>>,
    waiting: AtomicUsize,
    leaving: Notify,
}

/// The right to remove locks whose lease is over, given back when dropped. One at a time has it, since two would remove the same.
#[derive(Debug)]
pub struct Sweeping(Arc<Locks>);

/// A place in a line, given up when dropped.
#[derive(Debug)]
pub struct InLine<'a> {
    locks: &'a Locks,
    name: Box<str>,
    line: Arc<Line>,
}

impl Locks {
    /// With the locks that the copy had when it was opened.
    #[must_use]
    pub fn new(table: LockTable) -> Self {
        Self { table: Mutex::new(table), ..Self::default() }
    }

    /// How many are held.
    #[must_use]
    pub fn held(&self, now_ms: u64) -> usize {
        self.table.lock().held(now_ms)
    }

    /// How many have a lease that is over.
    #[must_use]
    pub fn over(&self, now_ms: u64) -> usize {
        self.table.lock().over(now_ms)
    }

    /// Up to `most` of those whose lease is over, those first that ended first.
    #[must_use]
    pub fn oldest_over(&self, most: usize, now_ms: u64) -> Vec<Arc<str>> {
        self.table.lock().oldest_over(most, now_ms)
    }

    /// The right to remove some; none while somebody has it.
    #[must_use]
    pub fn begin_to_sweep(self: &Arc<Self>) -> Option<Sweeping> {
        (!self.is_sweeping.swap(true, Ordering::AcqRel)).then(|| Sweeping(Arc::clone(self)))
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Lines up for a lock.
    #[must_use]
    pub fn line_up(&self, name: &str) -> InLine<'_> {
        let mut lines = self.lines.lock();
        let line = Arc::clone(
            lines
                .entry(name.into())
                .or_insert_with(|| Arc::new(Line { turn: Semaphore::new(1), written: Notify::new() })),
        );
        self.waiting.fetch_add(1, Ordering::AcqRel);
        InLine { locks: self, name: name.into(), line }
    }

    /// These locks were written: whoever is first in their lines asks again.
    pub fn written(&self, writes: &[LockWrite]) {
        if writes.is_empty() {
            return;
        }
        {
            let mut table = self.table.lock();
            writes.iter().for_each(|write| table.write(write));
        }
        if self.waiting() > 0 {
            let lines = self.lines.lock();
            writes.iter().filter_map(|write| lines.get(&write.name)).for_each(|line| line.written.notify_one());
        }
    }

    /// Everybody looks whether this copy is still the one to wait at.
    pub fn look_around(&self) {
        self.leaving.notify_waiters();
    }
}

impl InLine<'_> {
    /// Waits to be the first of the line; none if that did not come by `deadline`, or if it is time to look around.
    pub async fn first(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        tokio::select! {
            turn = tokio::time::timeout_at(deadline, self.line.turn.acquire()) => turn.ok()?.ok(),
            () = self.locks.leaving.notified() => None,
        }
    }

    /// Waits until the lock was written, or `until`, or until it is time to look around.
    pub async fn news(&self, until: Instant) {
        tokio::select! {
            () = self.line.written.notified() => {}
            () = self.locks.leaving.notified() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.0.is_sweeping.store(false, Ordering::Release);
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut lines = self.locks.lines.lock();
        self.locks.waiting.fetch_sub(1, Ordering::AcqRel);
        // The table and this place: nobody else stands in the line.
        if Arc::strong_count(&self.line) == 2 {
            lines.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_first_of_a_line_is_told_and_empty_lines_are_removed() {
        let locks = Locks::default();
        let far = Instant::now() + Duration::from_secs(60);
        let written = [LockWrite { name: "stock".into(), expires_at_ms: Some(5) }];
        locks.written(&written);
        assert_eq!((locks.held(4), locks.over(4)), (1, 0), "it counts whether somebody waits or not");
        {
            let (first, second) = (locks.line_up("stock"), locks.line_up("stock"));
            let turn = first.first(far).await.unwrap();
            assert!(second.first(Instant::now()).await.is_none(), "one at a time");
            // Told before it listens, and hears it all the same.
            locks.written(&written);
            first.news(far).await;
            drop(turn);
            assert!(second.first(far).await.is_some());
            assert_eq!(locks.waiting(), 2);
        }
        assert_eq!(locks.waiting(), 0);
        assert!(locks.lines.lock().is_empty());
    }
}
