//! How far the clock on the wall of this machine is from those of the other CSPs of its group, learned from their heartbeats.
//!
//! Nothing is decided by it. But a clock that is wrong makes records with wrong times, so people should know.

use std::collections::BTreeMap;

use holdfast_foundation::clock::Offset;
use parking_lot::Mutex;
use tracing::{info, warn};

/// For how long a heartbeat counts, if others follow: the one that arrived with the least delay says most.
const WINDOW_MS: u64 = 2_000;
/// Who was silent for longer says nothing about the time any more.
const SILENT_MS_MAX: u64 = 10_000;
/// From here on it is warned of.
const WARN_FROM_MS: u64 = 500;
/// From here on it is good again: a clock that swings about the bound is told once.
const GOOD_FROM_MS: u64 = 300;

/// The clocks of the others.
#[derive(Debug, Default)]
pub struct Clocks {
    others: Mutex<BTreeMap<String, Other>>,
    is_warned_of: Mutex<bool>,
}

#[derive(Debug)]
struct Other {
    offset: Offset,
    heard_at_ms: u64,
}

impl Clocks {
    /// The clock on the wall of another CSP showed `there_ms` when it sent a heartbeat, and ours shows `here_ms`.
    pub fn heard(&self, csp: &str, there_ms: u64, here_ms: u64, now_ms: u64) {
        let mut others = self.others.lock();
        let other = match others.get_mut(csp) {
            Some(other) => other,
            None => others
                .entry(csp.to_owned())
                .or_insert_with(|| Other { offset: Offset::new(WINDOW_MS), heard_at_ms: now_ms }),
        };
        other.offset.heard(there_ms, here_ms, now_ms);
        other.heard_at_ms = now_ms;
    }

    /// By how much our clock is ahead of the median of the others, in milliseconds; none if nobody was heard of late.
    #[must_use]
    pub fn ahead_ms(&self, now_ms: u64) -> Option<i64> {
        let others = self.others.lock();
        let heard = others.values().filter(|other| now_ms.saturating_sub(other.heard_at_ms) <= SILENT_MS_MAX);
        let mut ahead_ms: Vec<i64> = heard.filter_map(|other| other.offset.ahead_ms(now_ms)).collect();
        ahead_ms.sort_unstable();
        let middle = ahead_ms.len() / 2;
        let upper_ms = *ahead_ms.get(middle)?;
        let median_ms = match ahead_ms.len() % 2 {
            0 => i64::midpoint(*ahead_ms.get(middle - 1)?, upper_ms),
            _ => upper_ms,
        };
        Some(-median_ms)
    }

    /// Warns once when our clock is too far from the others', and says when it is not any more.
    pub fn watch(&self, csp: &str, now_ms: u64) {
        let Some(ahead_ms) = self.ahead_ms(now_ms) else { return };
        let mut is_warned_of = self.is_warned_of.lock();
        let is_far = ahead_ms.unsigned_abs() >= if *is_warned_of { GOOD_FROM_MS } else { WARN_FROM_MS };
        match (std::mem::replace(&mut *is_warned_of, is_far), is_far) {
            (false, true) => warn!(csp, ahead_ms, "the clock of this machine differs from those of the others: set it"),
            (true, false) => info!(csp, ahead_ms, "the clock of this machine agrees with those of the others again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_others_counts_and_those_who_are_silent_do_not() {
        let clocks = Clocks::default();
        assert_eq!(clocks.ahead_ms(0), None);
        for now_ms in (0..5_000).step_by(100) {
            // Ours is at `now_ms`, one of the others is an hour ahead of us, and two are 5 s behind.
            clocks.heard("a", now_ms + 3_600_000, now_ms, now_ms);
            clocks.heard("b", now_ms + 95_000, now_ms + 100_000, now_ms);
            clocks.heard("c", now_ms + 95_000, now_ms + 100_000, now_ms);
        }
        let ahead_ms = clocks.ahead_ms(5_000).unwrap();
        assert!((5_000..5_010).contains(&ahead_ms), "{ahead_ms}");
        clocks.heard("a", 16_000, 16_000, 16_000);
        let ahead_ms = clocks.ahead_ms(16_000).unwrap();
        assert!((-3_600_000..-3_580_000).contains(&ahead_ms) || ahead_ms.abs() < 10, "{ahead_ms}");
    }
}
