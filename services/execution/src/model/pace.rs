//! How quickly a CSP works off its queue, so that a request which could not be answered in time is told at once.
//!
//! Counting at the till: as long as there is a queue, the time between two who leave says how long one more will wait. With
//! a short queue it says nothing, because the till is idle or a single long purchase holds it; so nobody is turned away there.

/// Time over which is counted.
const WINDOW_MS: u64 = 100;
/// Fewer open requests than this are no queue.
const QUEUE_MIN: u32 = 64;
/// Fewer that leave say nothing yet: behind a moment in which all stood still, the first one alone would be the pace.
const DONE_MIN: u32 = 8;
/// After so long few are what there is.
const WINDOW_MAX_MS: u64 = 1_000;
/// Share of a new window.
const SMOOTHING: f64 = 0.25;

/// The pace of one CSP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    window_began_at_ms: u64,
    done: u32,
    per_request_ms: Option<f64>,
}

impl Pace {
    /// A request was answered.
    pub fn done(&mut self) {
        self.done = self.done.saturating_add(1);
    }

    /// Time passes, with that many requests open.
    pub fn tick(&mut self, open: u32, now_ms: u64) {
        if open < QUEUE_MIN {
            *self = Self { window_began_at_ms: now_ms, ..Self::default() };
            return;
        }
        let elapsed_ms = now_ms.saturating_sub(self.window_began_at_ms);
        if elapsed_ms < WINDOW_MS {
            return;
        }
        if self.done == 0 {
            // Nobody leaves: the time in which all stand still is nobody's pace.
            self.window_began_at_ms = now_ms;
            return;
        }
        if self.done < DONE_MIN && elapsed_ms < WINDOW_MAX_MS {
            return;
        }
        let sample = elapsed_ms as f64 / f64::from(self.done);
        let smoothed = self.per_request_ms.map_or(sample, |pace| pace + (sample - pace) * SMOOTHING);
        *self = Self { window_began_at_ms: now_ms, done: 0, per_request_ms: Some(smoothed) };
    }

    /// How long a request would wait behind that many others; unknown without a queue to count.
    pub fn wait_ms(&self, open: u32) -> Option<u64> {
        let per_request_ms = self.per_request_ms.filter(|_| open >= QUEUE_MIN)?;
        Some((f64::from(open) * per_request_ms) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_tells_how_long_one_more_waits() {
        let mut pace = Pace::default();
        for now in (0..1_000).step_by(10) {
            (0..2).for_each(|_| pace.done());
            pace.tick(100, now);
        }
        let wait = pace.wait_ms(100).unwrap();
        assert!((450..=550).contains(&wait), "100 requests at 5 ms each: {wait}");
    }

    #[test]
    fn the_first_ones_behind_a_stall_are_not_the_pace() {
        for stall_ms in [400, 6_000] {
            let mut pace = Pace::default();
            (0..=stall_ms).step_by(10).for_each(|now| pace.tick(256, now));
            pace.done();
            pace.tick(256, stall_ms + 10);
            assert_eq!(pace.wait_ms(256), None, "one that left says nothing yet");
            (0..127).for_each(|_| pace.done());
            pace.tick(256, stall_ms + 100);
            let wait = pace.wait_ms(256).unwrap();
            assert!((200..=400).contains(&wait), "128 left in 100 ms, behind {stall_ms} ms: {wait}");
        }
    }

    #[test]
    fn where_few_leave_they_are_the_pace_after_a_while() {
        let mut pace = Pace::default();
        for now in (0..=4 * WINDOW_MAX_MS).step_by(10) {
            if now % 50 == 0 {
                pace.done();
            }
            pace.tick(QUEUE_MIN, now);
        }
        let wait = pace.wait_ms(QUEUE_MIN).unwrap();
        assert!((3_000..=3_300).contains(&wait), "each takes 50 ms: {wait}");
    }

    #[test]
    fn without_a_queue_nothing_is_known() {
        let mut pace = Pace::default();
        for now in (0..1_000).step_by(10) {
            pace.tick(QUEUE_MIN - 1, now);
        }
        assert_eq!(pace.wait_ms(QUEUE_MIN - 1), None);
        for now in (1_000..2_000).step_by(10) {
            pace.tick(QUEUE_MIN, now);
        }
        assert_eq!(pace.wait_ms(QUEUE_MIN), None, "nothing was answered, so there is no pace");
    }
}
