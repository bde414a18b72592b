//! How far the clock of another process is ahead of one of ours, learned from what it says and when that is heard.
//!
//! What was said needs time to arrive, and may lie in an inbox for long. So each word proves only that the other clock is ahead
//! by *at least* the difference, and the largest difference of late is the best that is known: the one that was heard with the
//! least delay. It is never more than the truth, however late anything arrives, which is what deadlines rest on.
//!
//! What is of late is counted by what was heard, and not by time alone: who stood still for an hour has heard nothing new, and
//! goes on with what it knew. No two clocks run at the same rate, so what is old counts for less.

/// Clocks that nobody sets differ by less than this in their rate: ten times what a bad crystal does, and twice what a clock is
/// slewed by.
const DRIFT_PER_MILLION: u64 = 1_000;

/// What one sample proved, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    ahead_ms: i64,
    at_ms: u64,
}

/// What is known of another clock.
#[derive(Debug, Clone)]
pub struct Offset {
    window_ms: u64,
    began_ms: u64,
    best: Option<Sample>,
    before: Option<Sample>,
}

impl Offset {
    /// Of a clock that was not heard of. A sample counts for one to two windows.
    #[must_use]
    pub fn new(window_ms: u64) -> Self {
        Self { window_ms, began_ms: 0, best: None, before: None }
    }

    /// The other clock showed `there_ms`, and ours shows `here_ms`. `now_ms` is our time that only grows, which may be the same.
    pub fn heard(&mut self, there_ms: u64, here_ms: u64, now_ms: u64) {
        if self.best.is_some() && now_ms.saturating_sub(self.began_ms) >= self.window_ms {
            self.before = self.best.take();
        }
        if self.best.is_none() {
            self.began_ms = now_ms;
        }
        let sample = Sample { ahead_ms: difference(there_ms, here_ms), at_ms: now_ms };
        if self.best.is_none_or(|best| best.at(now_ms) <= sample.ahead_ms) {
            self.best = Some(sample);
        }
    }

    /// By how much the other clock is ahead at least; none if it was never heard of.
    #[must_use]
    pub fn ahead_ms(&self, now_ms: u64) -> Option<i64> {
        [self.best, self.before].into_iter().flatten().map(|sample| sample.at(now_ms)).max()
    }

    /// What the other clock shows at least, when ours shows `here_ms`.
    #[must_use]
    pub fn there_ms(&self, here_ms: u64, now_ms: u64) -> Option<u64> {
        self.ahead_ms(now_ms).map(|ahead_ms| here_ms.saturating_add_signed(ahead_ms))
    }
}

impl Sample {
    fn at(self, now_ms: u64) -> i64 {
        let drift_ms = now_ms.saturating_sub(self.at_ms) / (1_000_000 / DRIFT_PER_MILLION);
        self.ahead_ms.saturating_sub_unsigned(drift_ms)
    }
}

/// Both are cut to whole milliseconds, so one less is certain.
fn difference(there_ms: u64, here_ms: u64) -> i64 {
    let apart_ms = i64::try_from(there_ms.abs_diff(here_ms)).unwrap_or(i64::MAX);
    if there_ms >= here_ms { apart_ms - 1 } else { -apart_ms - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_MS: u64 = 30_000;

    #[test]
    fn the_least_delayed_word_counts() {
        let mut offset = Offset::new(WINDOW_MS);
        assert_eq!(offset.ahead_ms(0), None);
        // The other clock is ahead by 5,000 ms; words take 3, 1 and 400 ms.
        for (sent_ms, delay_ms) in [(0, 3), (100, 1), (200, 400)] {
            let now_ms = sent_ms + delay_ms;
            offset.heard(sent_ms + 5_000, now_ms, now_ms);
        }
        assert_eq!(offset.ahead_ms(600), Some(4_998));
        assert_eq!(offset.there_ms(600, 600), Some(5_598));
    }

    #[test]
    fn who_stood_still_goes_on_with_what_it_knew() {
        let mut offset = Offset::new(WINDOW_MS);
        offset.heard(0, 1_000, 1_000);
        // For an hour nothing is heard, and then what was said at the beginning of it.
        let woke_ms = 1_000 + 3_600_000;
        offset.heard(100, woke_ms, woke_ms);
        assert_eq!(offset.ahead_ms(woke_ms), Some(-1_001 - 3_600));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut offset = Offset::new(WINDOW_MS);
        offset.heard(9_000_000, 0, 0);
        // The other clock went back: after two windows nothing is left of what it was.
        for now_ms in (1_000..=61_000).step_by(1_000) {
            offset.heard(now_ms, now_ms, now_ms);
        }
        assert_eq!(offset.ahead_ms(61_000), Some(-1));
    }

    /// Whatever the delays, clocks and rates: never more than the truth, and as good as the best delay of late.
    #[test]
    fn is_never_more_than_the_truth() {
        for seed in 0..200_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let apart_ms = random(100_000_000);
            let rate = 1_000_000 + random(2_000) - 1_000;
            let there = |here_ms: u64| apart_ms + here_ms / 1_000_000 * rate + here_ms % 1_000_000 * rate / 1_000_000;
            let mut offset = Offset::new(WINDOW_MS);
            let mut now_ms = 10_000_000;
            for _ in 0..300 {
                now_ms += random(2_000);
                let delay_ms = if random(10) == 0 { random(5_000_000) } else { random(50) };
                offset.heard(there(now_ms - delay_ms), now_ms, now_ms);
                let known_ms = offset.there_ms(now_ms, now_ms).unwrap();
                assert!(known_ms <= there(now_ms) + 2, "seed {seed}: {known_ms} after {}", there(now_ms));
            }
            assert!(offset.there_ms(now_ms, now_ms).unwrap() + 200 >= there(now_ms), "seed {seed}");
        }
    }
}
