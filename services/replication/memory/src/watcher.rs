//! Calls the owners of accounts. An allocation may happen anywhere, also inside of what a call would need, so the allocator only
//! leaves a mark and wakes a thread that does nothing else.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::account::Excess;

/// Accounts that can be told apart at a time. Requests that a CSP carries out at a time are far fewer.
const SLOTS: usize = 8_192;

const NOTHING: u8 = 0;
const STOP: u8 = 1;
const ASLEEP: u8 = 2;

static MARKS: [AtomicU8; SLOTS] = [const { AtomicU8::new(NOTHING) }; SLOTS];
/// Whether any mark was set since they were looked at.
static IS_MARKED: AtomicBool = AtomicBool::new(false);
/// What the process may be resident with.
static RESIDENT: AtomicU64 = AtomicU64::new(u64::MAX);
static WATCHER: OnceLock<Thread> = OnceLock::new();
static OWNERS: OnceLock<Mutex<Owners>> = OnceLock::new();

type Owner = Box<dyn Fn(Excess) + Send>;

/// Whom to tell, and what he was told already.
struct Entry {
    owner: Owner,
    told: u8,
    /// Grows with every account.
    number: u64,
}

#[derive(Default)]
struct Owners {
    by_slot: HashMap<usize, Entry>,
    free: Vec<usize>,
    used: usize,
    opened: u64,
}

pub(crate) fn set_resident(bytes: u64) {
    RESIDENT.store(bytes, Ordering::Relaxed);
}

fn owners() -> &'static Mutex<Owners> {
    OWNERS.get_or_init(Mutex::default)
}

/// The number of an account, free again once this is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Option<usize>);

impl Slot {
    /// `usize::MAX` without a number, which is never looked at.
    pub(crate) fn number(&self) -> usize {
        self.0.unwrap_or(usize::MAX)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(slot) = self.0 else { return };
        let mut owners = owners().lock();
        let owner = owners.by_slot.remove(&slot);
        owners.free.push(slot);
        drop(owners);
        drop(owner);
    }
}

pub(crate) fn register(owner: Owner) -> Slot {
    WATCHER.get_or_init(start);
    let mut owners = owners().lock();
    let slot = match owners.free.pop() {
        Some(slot) => slot,
        None if owners.used < SLOTS => {
            owners.used += 1;
            owners.used - 1
        }
        None => return Slot(None),
    };
    if let Some(mark) = MARKS.get(slot) {
        mark.store(NOTHING, Ordering::Relaxed);
    }
    owners.opened += 1;
    let number = owners.opened;
    owners.by_slot.insert(slot, Entry { owner, told: NOTHING, number });
    Slot(Some(slot))
}

/// Has the owner told that the work must stop. Called by the allocator.
pub(crate) fn stop(slot: usize) {
    mark(slot, STOP);
}

/// Whether the runtime can do without this thread.
pub(crate) fn can_sleep() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Has the owner told that the work sleeps, and never returns. Called by the allocator, on a thread that [`can_sleep`].
pub(crate) fn sleep_for_good(slot: usize) {
    mark(slot, ASLEEP);
    let sleeps = || loop {
        std::thread::park();
    };
    beside_the_runtime(sleeps);
}

/// Has the runtime go on with another thread in place of this one, which ends when what it is at gives way. Called by the allocator, on
/// a thread that [`can_sleep`].
pub(crate) fn leave_runtime(tries: u32) {
    // The other thread has to be there before this one comes back, or the runtime goes on with this one.
    beside_the_runtime(|| std::thread::sleep(HANDED_OVER * 2_u32.saturating_pow(tries)));
}

/// Does it while the runtime goes on with another thread. An allocator must not unwind, and Tokio panics where it cannot do without
/// this thread, as when no other one can be started: then the work goes on.
fn beside_the_runtime(does: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(|| tokio::task::block_in_place(does)));
}

/// Time enough for another thread to begin, where nothing else wants the processors.
const HANDED_OVER: Duration = Duration::from_millis(5);

fn mark(slot: usize, what: u8) {
    let Some(mark) = MARKS.get(slot) else { return };
    if mark.fetch_max(what, Ordering::AcqRel) < what {
        IS_MARKED.store(true, Ordering::Release);
        if let Some(watcher) = WATCHER.get() {
            watcher.unpark();
        }
    }
}

fn start() -> Thread {
    let watch = std::thread::Builder::new().name("memory-watch".to_owned()).spawn(watch);
    // Without the thread nothing is bounded, as it was before there was one.
    watch.map_or_else(|_| std::thread::current(), |watch| watch.thread().clone())
}

/// How often it is looked at how much the process is resident with.
const LOOK: Duration = Duration::from_millis(100);
/// The same when it is not far from what it may be, and after something was stopped: until that shows.
const LOOK_SOON: Duration = Duration::from_millis(20);

fn watch() {
    let mut pause = LOOK;
    loop {
        std::thread::park_timeout(pause);
        if IS_MARKED.swap(false, Ordering::AcqRel) {
            tell_the_marked();
        }
        let (bytes, bound) = (resident_bytes().unwrap_or_default(), RESIDENT.load(Ordering::Relaxed));
        if bytes > bound {
            stop_the_oldest();
        }
        pause = if bytes > bound / 4 * 3 { LOOK_SOON } else { LOOK };
    }
}

fn tell_the_marked() {
    for (slot, entry) in &mut owners().lock().by_slot {
        let mark = MARKS.get(*slot).map_or(NOTHING, |mark| mark.load(Ordering::Acquire));
        if mark > entry.told {
            entry.told = mark;
            (entry.owner)(if mark == ASLEEP { Excess::Asleep } else { Excess::Stop });
        }
    }
}

/// Stops what has been under way for longest of all that was not told to yet.
fn stop_the_oldest() {
    let mut owners = owners().lock();
    let running = owners.by_slot.values_mut().filter(|entry| entry.told == NOTHING);
    if let Some(oldest) = running.min_by_key(|entry| entry.number) {
        oldest.told = STOP;
        (oldest.owner)(Excess::Stop);
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
