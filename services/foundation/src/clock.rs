//! Time as an argument, so that tests own it.

mod offset;
mod pause;
mod steady;
pub mod step;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

pub use offset::Offset;
pub use pause::{PauseWatch, Standstill};
pub use steady::Steady;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Wall clock, in milliseconds since 1970. May jump.
    fn now_ms(&self) -> u64;
    /// Time that only grows, also while the machine sleeps, in milliseconds since some moment.
    fn monotonic_ms(&self) -> u64;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started_ms: u64,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started_ms: since_boot_ms() }
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        wall_ms()
    }

    fn monotonic_ms(&self) -> u64 {
        since_boot_ms().saturating_sub(self.started_ms)
    }
}

/// The machine's clock that only grows, also while it sleeps, in milliseconds. Nobody sets it, and it is the same for all
/// processes of the machine.
#[must_use]
pub fn since_boot_ms() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    // Every kernel has this clock, so reading it cannot fail.
    let since = clock_gettime(CLOCK).map(std::time::Duration::from).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The machine's wall clock, in milliseconds since 1970, for code that is given no [`Clock`].
#[must_use]
pub fn wall_ms() -> u64 {
    let machine_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or_default();
    machine_ms.saturating_add_signed(step::of_process())
}

/// A clock that stands still until it is moved; wall and monotonic time are one.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Lets time pass.
    pub fn advance_ms(&self, by_ms: u64) {
        self.0.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> u64 {
        self.now_ms()
    }
}
