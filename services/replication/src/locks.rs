//! Those who wait for a lock at this copy: one line for each name, in the order in which they came.
//!
//! Only the first of a line asks, when the lock was written or its lease is over. The applier tells of written locks, and pays
//! nothing for that while nobody waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_storage::reserved;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// The line for one lock.
#[derive(Debug)]
struct Line {
    turn: Semaphore,
    written: Notify,
}

/// All lines at this copy.
#[derive(Debug, Default)]
pub struct Locks {
    lines: Mutex<HashMap<Box<str>, Arc<Line>>>,
    waiting: AtomicUsize,
    leaving: Notify,
}

/// A place in a line, given up when dropped.
#[derive(Debug)]
pub struct InLine<'a> {
    locks: &'a Locks,
    name: Box<str>,
    line: Arc<Line>,
}

impl Locks {
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

    /// The names of the awaited locks among the keys that are about to be written.
    pub fn awaited<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Vec<Box<str>> {
        if self.waiting() == 0 {
            return Vec::new();
        }
        let names = keys.filter_map(|key| std::str::from_utf8(key.strip_prefix(&reserved::LOCKS)?).ok());
        names.map(Box::from).collect()
    }

    /// These locks were written: whoever is first in their lines asks again.
    pub fn written(&self, names: &[Box<str>]) {
        let lines = self.lines.lock();
        names.iter().filter_map(|name| lines.get(name)).for_each(|line| line.written.notify_one());
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
        let key = reserved::lock("stock");
        let keys = || [key.as_slice(), b"/*other"].into_iter();
        assert!(locks.awaited(keys()).is_empty(), "nobody waits");
        {
            let (first, second) = (locks.line_up("stock"), locks.line_up("stock"));
            let turn = first.first(far).await.unwrap();
            assert!(second.first(Instant::now()).await.is_none(), "one at a time");
            let awaited = locks.awaited(keys());
            assert_eq!(awaited, [Box::from("stock")]);
            // Told before it listens, and hears it all the same.
            locks.written(&awaited);
            first.news(far).await;
            drop(turn);
            assert!(second.first(far).await.is_some());
            assert_eq!(locks.waiting(), 2);
        }
        assert_eq!(locks.waiting(), 0);
        assert!(locks.lines.lock().is_empty());
    }
}
