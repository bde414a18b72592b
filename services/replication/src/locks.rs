//! The locks as this copy has applied them, and those who wait for one here: one line for each name (`model/lock_line`).
//!
//! Only the first of a line asks, when the lock was written or its lease is over. The applier tells of written locks: the first
//! of the line, and whoever stands there under the id that wrote it, which has its outcome now.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::model::lock_line::LockLine;
use crate::model::lock_table::{LockTable, LockWrite};

/// The locks, and all lines at this copy.
#[derive(Debug, Default)]
pub struct Locks {
    table: Mutex<LockTable>,
    is_sweeping: AtomicBool,
    lines: Mutex<HashMap<Box<str>, LockLine<watch::Sender<()>>>>,
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
    id: Box<str>,
    news: watch::Receiver<()>,
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

    /// Lines up for a lock, at the place of this id if it stands there already.
    #[must_use]
    pub fn line_up(&self, name: &str, id: &str) -> InLine<'_> {
        let mut lines = self.lines.lock();
        let news = lines.entry(name.into()).or_default().join(id, watch::Sender::new(())).subscribe();
        self.waiting.fetch_add(1, Ordering::AcqRel);
        InLine { locks: self, name: name.into(), id: id.into(), news }
    }

    /// These locks were written: whoever is first in their lines asks again, and whoever stands there under the id that wrote one
    /// looks what it came to.
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
            for write in writes {
                let Some(line) = lines.get(&write.name) else { continue };
                let writer = write.id.as_deref().and_then(|id| line.of(id));
                for bell in line.first().into_iter().chain(writer) {
                    bell.send_replace(());
                }
            }
        }
    }

    /// Everybody looks whether this copy is still the one to wait at.
    pub fn look_around(&self) {
        self.leaving.notify_waiters();
    }
}

impl InLine<'_> {
    /// Whether it is the first of the line.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.locks.lines.lock().get(&self.name).is_some_and(|line| line.is_first(&self.id))
    }

    /// Waits until its turn has come, or the lock was written in its turn or under its id; or `until`, or until it is time to look
    /// around. What was told since it lined up, or since it last waited, is heard.
    pub async fn news(&mut self, until: Instant) {
        tokio::select! {
            _ = self.news.changed() => {}
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
        let Some(line) = lines.get_mut(&self.name) else { return };
        if let Some(next) = line.leave(&self.id) {
            next.send_replace(());
        }
        if line.is_empty() {
            lines.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(name: &str, id: Option<&str>) -> [LockWrite; 1] {
        [LockWrite { name: name.into(), expires_at_ms: Some(5), id: id.map(Into::into) }]
    }

    /// Whether somebody was told, at once.
    async fn is_told(place: &mut InLine<'_>) -> bool {
        let is_told = place.news.has_changed().unwrap();
        if is_told {
            place.news(Instant::now() + Duration::from_secs(60)).await;
        }
        is_told
    }

    #[tokio::test]
    async fn the_first_of_a_line_is_told_and_empty_lines_are_removed() {
        let locks = Locks::default();
        locks.written(&written("stock", None));
        assert_eq!((locks.held(4), locks.over(4)), (1, 0), "it counts whether somebody waits or not");
        {
            let (mut first, mut second) = (locks.line_up("stock", "a"), locks.line_up("stock", "b"));
            assert!(first.is_first() && !second.is_first(), "one at a time");
            // Told before it listens, and hears it all the same.
            locks.written(&written("stock", None));
            assert!(is_told(&mut first).await && !is_told(&mut second).await);
            drop(first);
            assert!(second.is_first() && is_told(&mut second).await, "its turn has come");
            assert_eq!(locks.waiting(), 1);
        }
        assert_eq!(locks.waiting(), 0);
        assert!(locks.lines.lock().is_empty());
    }

    #[tokio::test]
    async fn a_repetition_shares_the_place_of_its_id_and_is_told_what_that_came_to() {
        let locks = Locks::default();
        let mut others = locks.line_up("stock", "a");
        let given_up = locks.line_up("stock", "b");
        let mut last = locks.line_up("stock", "c");
        let mut again = locks.line_up("stock", "b");
        assert_eq!(locks.waiting(), 4);

        // An earlier attempt at it got the lock, at another copy: no matter who is before it here.
        locks.written(&written("stock", Some("b")));
        assert!(is_told(&mut again).await && is_told(&mut others).await && !is_told(&mut last).await);

        // Whoever came first under the id leaves, and its place is kept.
        drop(given_up);
        drop(others);
        assert!(again.is_first() && is_told(&mut again).await && !last.is_first());
        drop(again);
        assert!(last.is_first() && is_told(&mut last).await);
    }
}
