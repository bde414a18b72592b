//! How far behind is a copy, in milliseconds, when heartbeats name positions only?
//!
//! A milestone board by the road: each time somebody reports a log end farther than any before, the board notes when. A copy
//! that stands at position 40 is as late as the first notice of a position beyond 40 is old. What was there before we began
//! to watch, or fell off the board, has an unknown age: a copy behind that is later than any bound.

use std::collections::VecDeque;

/// Notices kept. At ten heartbeats a second from five CSPs this is about twenty seconds of a busy log.
const NOTICES_MAX: usize = 1_024;

/// When each log end was first heard of.
#[derive(Debug, Default)]
pub struct Timeline {
    /// (first heard at, log end), both strictly rising.
    notices: VecDeque<(u64, u64)>,
    /// Positions up to here have an unknown age.
    ageless: u64,
    begun: bool,
}

impl Timeline {
    /// The farthest position that anybody reported.
    pub fn end(&self) -> u64 {
        self.notices.back().map_or(self.ageless, |(_, end)| *end)
    }

    /// Somebody reported that the log reaches to `end`.
    pub fn note(&mut self, end: u64, now_ms: u64) {
        if !self.begun {
            self.begun = true;
            self.ageless = end;
            return;
        }
        if end <= self.end() {
            return;
        }
        match self.notices.back_mut() {
            // The same instant: one notice is enough, and the rise stays strict.
            Some((heard_at, last)) if *heard_at >= now_ms => *last = end,
            _ => self.notices.push_back((now_ms, end)),
        }
        if self.notices.len() > NOTICES_MAX {
            self.ageless = self.notices.pop_front().map_or(self.ageless, |(_, end)| end);
        }
    }

    /// How late a copy is that has applied up to `applied`; `None` when that is longer than the board remembers.
    pub fn lag_ms(&self, applied: u64, now_ms: u64) -> Option<u64> {
        if applied >= self.end() {
            return Some(0);
        }
        if applied < self.ageless {
            return None;
        }
        let at = self.notices.partition_point(|(_, end)| *end <= applied);
        self.notices.get(at).map(|(heard_at, _)| now_ms.saturating_sub(*heard_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_has_no_age() {
        let mut timeline = Timeline::default();
        timeline.note(100, 5);
        assert_eq!(timeline.lag_ms(100, 9), Some(0));
        assert_eq!(timeline.lag_ms(99, 9), None);
    }

    #[test]
    fn lag_counts_from_the_first_notice_beyond() {
        let mut timeline = Timeline::default();
        timeline.note(0, 0);
        timeline.note(10, 100);
        timeline.note(20, 200);
        timeline.note(15, 250);
        assert_eq!(timeline.lag_ms(20, 300), Some(0));
        assert_eq!(timeline.lag_ms(12, 300), Some(100));
        assert_eq!(timeline.lag_ms(10, 300), Some(100));
        assert_eq!(timeline.lag_ms(9, 300), Some(200));
        assert_eq!(timeline.end(), 20);
    }

    #[test]
    fn forgets_the_oldest_and_says_so() {
        let mut timeline = Timeline::default();
        for step in 0..3_000u64 {
            timeline.note(step, step);
        }
        assert_eq!(timeline.lag_ms(10, 3_000), None);
        assert_eq!(timeline.lag_ms(2_990, 3_000), Some(9));
        assert!(timeline.notices.len() <= NOTICES_MAX);
    }
}
