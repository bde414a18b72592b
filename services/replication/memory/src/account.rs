//! The account of one piece of work.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::meter::{self, Reading};
use crate::watcher::{self, Slot};

/// How much memory all accounts may hold together, each of them all of it, in bytes. Those that sleep for good do not count here any
/// more: what they hold is part of what the process is resident with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Above this, the work that takes more is told to stop.
    pub stop: u64,
    /// Above this, the work that takes more and does not stop is put to sleep for good.
    pub sleep: u64,
    /// What the process may be resident with, whatever took it. Above this, work is stopped, what has been under way for longest
    /// first: helper threads take memory on its behalf that is on no account.
    pub resident: u64,
}

impl Bounds {
    /// Sets them for this process.
    pub fn set(self) {
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        meter::set_bounds(signed(self.stop), signed(self.sleep));
        watcher::set_resident(self.resident);
    }
}

/// Why the owner of an account is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// The work has to stop.
    Stop,
    /// It did not, and sleeps for good. Whatever it holds is lost to this process.
    Asleep,
}

/// The account of one piece of work. It is closed when it is dropped.
#[derive(Debug)]
pub struct Account {
    slot: Slot,
    held: AtomicI64,
    added: AtomicI64,
}

impl Account {
    /// An account whose owner is called, on a thread of its own, when there is too much on it. Without bounds, where more pieces
    /// of work are under way than can be told apart.
    #[must_use]
    pub fn open(on_excess: impl Fn(Excess) + Send + 'static) -> Arc<Self> {
        let slot = watcher::register(Box::new(on_excess));
        Arc::new(Self { slot, held: AtomicI64::new(0), added: AtomicI64::new(0) })
    }

    fn enter(&self) -> Scope<'_> {
        let number = self.slot.number();
        let reading = Reading {
            slot: number,
            held: self.held.load(Ordering::Relaxed),
            added: self.added.load(Ordering::Relaxed),
        };
        Scope { account: self, before: meter::begin(reading) }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        meter::forget(self.added.load(Ordering::Relaxed));
    }
}

/// A thread works for an account until this is dropped.
struct Scope<'a> {
    account: &'a Account,
    before: Option<Reading>,
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        if let Some(reading) = meter::end(self.before) {
            self.account.held.store(reading.held, Ordering::Relaxed);
            self.account.added.store(reading.added, Ordering::Relaxed);
        }
    }
}

/// Runs a future under an account.
pub async fn metered<F: Future>(account: Arc<Account>, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let _scope = account.enter();
        future.as_mut().poll(context)
    })
    .await
}
