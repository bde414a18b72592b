//! A clock on the wall that never jumps: it takes the hour from the machine once, goes on by the clock that nobody sets, and comes
//! nearer to the machine's hour by a tenth of what passes. So a machine whose clock is set, ahead or back, for a second or for
//! ever, is followed slowly, and what is measured by it is hardly wrong.

use parking_lot::Mutex;

use super::{since_boot_ms, wall_ms};

/// It follows the machine by one of these parts of what passed.
const FOLLOWS_BY: u64 = 10;
/// It is set anew when this much has passed: a tenth of less would be nothing in milliseconds.
const STEP_MS: u64 = 100;

/// A clock on the wall that never jumps.
#[derive(Debug)]
pub struct Steady {
    shown: Mutex<Shown>,
}

/// What it showed, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    wall_ms: u64,
    at_ms: u64,
    last_ms: u64,
}

impl Default for Steady {
    fn default() -> Self {
        let wall_ms = wall_ms();
        Self { shown: Mutex::new(Shown { wall_ms, at_ms: since_boot_ms(), last_ms: wall_ms }) }
    }
}

impl Steady {
    /// What it shows, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let mut shown = self.shown.lock();
        let (wall_ms, next) = shown.at(wall_ms(), since_boot_ms());
        *shown = next;
        wall_ms
    }
}

impl Shown {
    /// What it shows now, and what it goes on from.
    fn at(self, machine_ms: u64, now_ms: u64) -> (u64, Self) {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let wall_ms = self.wall_ms.saturating_add(passed_ms);
        let by_ms = machine_ms.abs_diff(wall_ms).min(passed_ms / FOLLOWS_BY);
        let wall_ms = if machine_ms >= wall_ms { wall_ms + by_ms } else { wall_ms - by_ms };
        let last_ms = wall_ms.max(self.last_ms);
        let next = if passed_ms < STEP_MS { self } else { Self { wall_ms, at_ms: now_ms, ..self } };
        (last_ms, Self { last_ms, ..next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows every 7 ms what the machine's clock, wrong by so much, makes of it.
    fn after(mut shown: Shown, from_ms: u64, until_ms: u64, wrong_ms: i64) -> (Shown, u64) {
        let mut last_ms = shown.wall_ms;
        for now_ms in (from_ms..=until_ms).step_by(7) {
            let (wall_ms, next) = shown.at((1_000_000 + now_ms).saturating_add_signed(wrong_ms), now_ms);
            assert!(wall_ms >= last_ms && wall_ms - last_ms <= 7 + 80, "{wall_ms} after {last_ms}");
            (shown, last_ms) = (next, wall_ms);
        }
        (shown, last_ms)
    }

    #[test]
    fn follows_a_clock_that_jumps_slowly_and_never_goes_back() {
        let begin = Shown { wall_ms: 1_000_000, at_ms: 0, last_ms: 1_000_000 };
        let (right, last_ms) = after(begin, 0, 9_996, 0);
        assert_eq!(last_ms, 1_009_996);
        // Twenty minutes ahead for a second: a tenth of a second.
        let (ahead, last_ms) = after(right, 9_996, 10_997, 1_200_000);
        assert!((0..=101).contains(&(last_ms - 1_010_997)), "{last_ms}");
        // Back by an hour, for ten seconds: a second, of which it was ahead by a tenth.
        let (_, last_ms) = after(ahead, 10_997, 20_993, -3_600_000);
        assert!((850..=950).contains(&(1_020_993 - last_ms)), "{last_ms}");
    }
}
