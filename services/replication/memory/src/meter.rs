//! What the thread counts, and what happens when it is too much.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::watcher;

/// How much is taken between two looks at the bounds.
const STEP: i64 = 4 << 20;
/// What an account holds may differ by less than this from what is in the total: all threads write to that.
const FINE: u64 = 64 << 10;

/// What all accounts hold together, as of their last look, but for those that sleep.
static TOTAL: AtomicI64 = AtomicI64::new(0);
/// The bounds, see [`crate::Bounds`]; without bounds until they are set.
static STOP: AtomicI64 = AtomicI64::new(i64::MAX);
static SLEEP: AtomicI64 = AtomicI64::new(i64::MAX);

/// The work that a thread is at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// The number of its account.
    pub slot: usize,
    /// What it holds.
    pub held: i64,
    /// How much of that is in the total.
    pub added: i64,
}

/// So many allocations lie between two looks at the clock.
const ALLOCATIONS: u32 = 1_024;
/// A piece of work that has not given way for so long gets a thread of its own.
const GIVES_WAY_MAX: Duration = Duration::from_millis(200);

/// So often it is tried to get it one. Whether another thread began in time in place of this one cannot be seen, so each time there is
/// twice as long for that, from 5 ms to more than a second.
const TRIES_MAX: u32 = 9;

struct Meter {
    /// Since when the thread has been at it, or since the last try; none when there was the last one.
    since: Cell<Option<Instant>>,
    /// How often it was tried.
    tries: Cell<u32>,
    /// Allocations since the last look at the clock.
    allocations: Cell<u32>,
    /// The next look is due when this much is held; never, outside of any work.
    look_at: Cell<i64>,
    held: Cell<i64>,
    added: Cell<i64>,
    slot: Cell<usize>,
}

thread_local! {
    // Constant and without a destructor: reading it never allocates, which it must not, here.
    static METER: Meter = const {
        Meter {
            since: Cell::new(None),
            tries: Cell::new(0),
            allocations: Cell::new(0),
            look_at: Cell::new(i64::MAX),
            held: Cell::new(0),
            added: Cell::new(0),
            slot: Cell::new(usize::MAX),
        }
    };
}

pub(crate) fn set_bounds(stop: i64, sleep: i64) {
    STOP.store(stop, Ordering::Relaxed);
    SLEEP.store(sleep, Ordering::Relaxed);
}

pub(crate) fn grew(bytes: usize) {
    METER.with(|meter| {
        let held = meter.held.get().saturating_add_unsigned(bytes as u64);
        meter.held.set(held);
        if held > meter.look_at.get() {
            look(meter);
        }
        let allocations = meter.allocations.get() + 1;
        meter.allocations.set(allocations);
        if allocations >= ALLOCATIONS {
            look_at_clock(meter);
        }
    });
}

pub(crate) fn shrank(bytes: usize) {
    METER.with(|meter| meter.held.set(meter.held.get().saturating_sub_unsigned(bytes as u64)));
}

/// The thread begins to work for an account. Gives what it was at before, to be put back.
pub(crate) fn begin(reading: Reading) -> Option<Reading> {
    METER.with(|meter| {
        let before = read(meter);
        write(meter, Some(reading));
        if before.is_none() {
            meter.since.set(Some(Instant::now()));
            meter.tries.set(0);
        }
        before
    })
}

/// The thread ends its work for an account, and goes on with what it was at before.
pub(crate) fn end(before: Option<Reading>) -> Option<Reading> {
    METER.with(|meter| {
        let mut reading = read(meter);
        if let Some(reading) = &mut reading {
            let more = reading.held - reading.added;
            // Looked at only when it changes.
            let mut total = 0;
            if more.unsigned_abs() >= FINE {
                total = TOTAL.fetch_add(more, Ordering::Relaxed) + more;
                reading.added = reading.held;
            }
            // Work that takes little at a time is never looked at on its way. What holds next to nothing is not what is too much.
            let stop = STOP.load(Ordering::Relaxed);
            if reading.held > stop || (total > stop && more > 0 && reading.held > STEP) {
                watcher::stop(reading.slot);
            }
        }
        write(meter, before);
        if before.is_none() {
            meter.since.set(None);
        }
        reading
    })
}

/// Takes what an account had added out of the total.
pub(crate) fn forget(added: i64) {
    TOTAL.fetch_sub(added, Ordering::Relaxed);
}

fn read(meter: &Meter) -> Option<Reading> {
    let slot = meter.slot.get();
    (slot != usize::MAX).then(|| Reading { slot, held: meter.held.get(), added: meter.added.get() })
}

fn write(meter: &Meter, reading: Option<Reading>) {
    let (slot, held, added) = reading.map_or((usize::MAX, 0, 0), |reading| (reading.slot, reading.held, reading.added));
    meter.slot.set(slot);
    meter.held.set(held);
    meter.added.set(added);
    meter.look_at.set(if slot == usize::MAX { i64::MAX } else { held + STEP });
}

/// Lets the runtime do without this thread if the work keeps it for long.
#[cold]
#[inline(never)]
fn look_at_clock(meter: &Meter) {
    meter.allocations.set(0);
    let is_kept = meter.since.get().is_some_and(|since| since.elapsed() >= GIVES_WAY_MAX);
    if is_kept && watcher::can_sleep() {
        // What happens here may allocate, too.
        meter.since.set(None);
        let tries = meter.tries.get();
        watcher::leave_runtime(tries);
        meter.tries.set(tries + 1);
        meter.since.set((tries + 1 < TRIES_MAX).then(Instant::now));
    }
}

#[cold]
#[inline(never)]
fn look(meter: &Meter) {
    // What happens here may allocate, too.
    meter.look_at.set(i64::MAX);
    let (held, slot) = (meter.held.get(), meter.slot.get());
    let more = held - meter.added.get();
    meter.added.set(held);
    let total = TOTAL.fetch_add(more, Ordering::Relaxed) + more;
    let (stop, sleep) = (STOP.load(Ordering::Relaxed), SLEEP.load(Ordering::Relaxed));
    // Of those that are too much together, only a large one is put to sleep: the others stop soon.
    let is_far_above = held > sleep || (total > sleep && held > stop / 2);
    if is_far_above && watcher::can_sleep() {
        // What it holds stays taken, and nobody else can give it back: it must not count against those that go on.
        forget(held);
        watcher::sleep_for_good(slot);
    }
    if is_far_above || held > stop || total > stop {
        watcher::stop(slot);
    }
    meter.look_at.set(meter.held.get() + STEP);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Works for an account once, and takes or gives back so much.
    fn step(reading: Reading, bytes: i64) -> Reading {
        assert!(begin(reading).is_none());
        let size = usize::try_from(bytes.unsigned_abs()).unwrap();
        if bytes > 0 {
            grew(size)
        } else {
            shrank(size)
        }
        end(None).unwrap()
    }

    #[test]
    fn little_is_added_by_and_by_and_all_of_it_is_taken_out() {
        let half = i64::try_from(FINE / 2).unwrap();
        let mut reading = Reading { slot: 0, held: 0, added: 0 };
        for (bytes, held, added) in
            [(half, 1, 0), (half, 2, 2), (half, 3, 2), (-half, 2, 2), (-half, 1, 2), (-half, 0, 0)]
        {
            reading = step(reading, bytes);
            assert_eq!((reading.held, reading.added), (held * half, added * half));
            assert_eq!(TOTAL.load(Ordering::Relaxed), reading.added);
        }
        reading = step(reading, 3 * half);
        reading = step(reading, -half);
        assert_eq!((reading.held, reading.added), (2 * half, 3 * half));
        forget(reading.added);
        assert_eq!(TOTAL.load(Ordering::Relaxed), 0);
    }
}
