//! How far this copy is behind, judged by what the others say in their heartbeats.
//!
//! Nobody can know the end of the log without asking it. What another copy has applied is a lower bound of the end, hardly older
//! than the heartbeat interval of the group: good enough to notice that something is missing here. It proves nothing to a reader
//! who allows a lag, for the other may be cut off from the log as well, or nobody may be heard. Only a place in the log does
//! that was taken and came back, and it is good for as long as the reader allows, by the clock that nobody sets: so a query
//! costs no question each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What is known of the end of the log.
#[derive(Debug, Default)]
pub struct Freshness {
    log_end: AtomicU64,
    behind: Mutex<Option<(u64, Instant)>>,
    proved_at: Mutex<Option<Instant>>,
    available_at: Mutex<Option<Instant>>,
}

impl Freshness {
    /// The furthest position that anyone is known to have applied.
    #[must_use]
    pub fn log_end(&self) -> u64 {
        self.log_end.load(Ordering::Relaxed)
    }

    /// Another copy says how far it is; `applied` is how far this one is.
    pub fn heard(&self, other: u64, applied: u64, now: Instant) {
        let end = self.log_end.fetch_max(other, Ordering::Relaxed).max(other);
        let mut behind = self.behind.lock();
        match *behind {
            Some((position, _)) if applied < position => {}
            _ => *behind = (applied < end).then_some((end, now)),
        }
    }

    /// Another CSP says that it is available.
    pub fn heard_available(&self, now: Instant) {
        *self.available_at.lock() = Some(now);
    }

    /// Whether another CSP said that it is available, no longer ago than this.
    #[must_use]
    pub fn others_available(&self, within: Duration, now: Instant) -> bool {
        self.available_at.lock().is_some_and(|at| now.saturating_duration_since(at) <= within)
    }

    /// This copy has applied everything that was acknowledged before that moment: a place in the log that was taken then was
    /// applied since.
    pub fn proved(&self, at: Instant) {
        let mut proved_at = self.proved_at.lock();
        *proved_at = (*proved_at).max(Some(at));
    }

    /// Whether it is proved that this copy is behind by no more than this.
    #[must_use]
    pub fn is_within(&self, lag: Duration, now: Instant) -> bool {
        self.proved_at.lock().is_some_and(|at| now.saturating_duration_since(at) <= lag)
    }

    /// For how long this copy, which is at `applied`, has been known to be behind, in milliseconds.
    #[must_use]
    pub fn lag_ms(&self, applied: u64, now: Instant) -> u64 {
        match *self.behind.lock() {
            Some((position, since)) if applied < position => {
                u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_proved_by_a_place_in_the_log_and_by_nothing_else() {
        let freshness = Freshness::default();
        let (start, lag) = (Instant::now(), Duration::from_millis(300));
        freshness.heard(10, 10, start);
        assert!(!freshness.is_within(lag, start), "others may be as far behind");
        freshness.proved(start);
        freshness.proved(start - lag);
        assert!(freshness.is_within(lag, start + lag));
        assert!(!freshness.is_within(lag, start + lag + Duration::from_millis(1)));
    }

    #[test]
    fn another_csp_counts_as_available_for_as_long_as_it_may_be_silent() {
        let freshness = Freshness::default();
        let (start, within) = (Instant::now(), Duration::from_millis(500));
        assert!(!freshness.others_available(within, start));
        freshness.heard_available(start);
        assert!(freshness.others_available(within, start + within));
        assert!(!freshness.others_available(within, start + within + Duration::from_millis(1)));
    }

    #[test]
    fn the_lag_grows_from_when_it_was_noticed_and_ends_when_the_position_is_reached() {
        let freshness = Freshness::default();
        let start = Instant::now();
        freshness.heard(10, 10, start);
        assert_eq!(freshness.lag_ms(10, start), 0);
        freshness.heard(12, 10, start);
        freshness.heard(15, 11, start + Duration::from_millis(40));
        assert_eq!(freshness.lag_ms(11, start + Duration::from_millis(100)), 100);
        assert_eq!(freshness.lag_ms(12, start + Duration::from_millis(100)), 0);
    }
}
