//! How long to wait before a child that died is started again.
//!
//! Like someone who rings again at a door: soon at first, then less and less often, and soon again once the door has
//! been open for a while.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
const STEADY: Duration = Duration::from_secs(20);

/// The waiting times of one child.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// The child died after it had run for so long: how long to wait now.
    pub fn after_failure(&mut self, ran_for: Duration) -> Duration {
        if ran_for >= STEADY {
            self.failures = 0;
        }
        let wait = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// How many times it died in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It was stopped on purpose, or serves: what came before no longer counts.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BackOff, LONGEST, STEADY};

    #[test]
    fn waits_longer_each_time_and_never_beyond_the_longest() {
        let mut back_off = BackOff::default();
        let waits: Vec<u128> = (0..8).map(|_| back_off.after_failure(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert!((0..100).all(|_| back_off.after_failure(Duration::ZERO) == LONGEST));
    }

    #[test]
    fn a_steady_run_is_forgiven() {
        let mut back_off = BackOff::default();
        for _ in 0..5 {
            back_off.after_failure(Duration::ZERO);
        }
        assert_eq!(back_off.after_failure(STEADY).as_millis(), 100);
        assert_eq!(back_off.failures(), 1);
    }
}
