//! Keeps work away from a CSP that goes and comes too often.
//!
//! A door that slams in the wind is not used until it has been still for a while; each time that it slams again, for longer.

use std::collections::VecDeque;

/// What too often is.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Verdicts within the window that are too many.
    pub verdicts_max: u64,
    /// The window.
    pub window_ms: u64,
    /// The first hold; it doubles.
    pub hold_min_ms: u64,
    /// The longest hold.
    pub hold_max_ms: u64,
}

/// The verdicts on one CSP that are not forgotten yet.
#[derive(Debug)]
pub struct Damping {
    policy: Policy,
    verdicts: VecDeque<u64>,
    holds: u32,
    due: bool,
    held_until_ms: u64,
}

impl Damping {
    /// One that never went.
    pub fn new(policy: Policy) -> Self {
        Self { policy, verdicts: VecDeque::new(), holds: 0, due: false, held_until_ms: 0 }
    }

    /// Another policy holds from now on.
    pub fn adopt(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// It became unavailable.
    pub fn condemned(&mut self, now_ms: u64) {
        self.verdicts.retain(|at| now_ms.saturating_sub(*at) < self.policy.window_ms);
        if self.verdicts.is_empty() && now_ms >= self.held_until_ms {
            self.holds = 0;
        }
        self.verdicts.push_back(now_ms);
        while self.count() > self.policy.verdicts_max {
            self.verdicts.pop_front();
        }
        self.due = self.count() >= self.policy.verdicts_max;
    }

    fn count(&self) -> u64 {
        self.verdicts.len() as u64
    }

    /// Why it is held, in words.
    pub fn reason(&self) -> String {
        let seconds = self.policy.window_ms / 1_000;
        format!("it became unavailable {} times within {seconds} s", self.policy.verdicts_max)
    }

    /// It says that it is available. Until when it is not believed; the hold begins when it first says so.
    pub fn available(&mut self, now_ms: u64) -> Option<u64> {
        if self.due {
            self.due = false;
            let longer = self.policy.hold_min_ms.saturating_mul(1 << self.holds.min(16));
            self.held_until_ms = now_ms + longer.min(self.policy.hold_max_ms);
            self.holds += 1;
        }
        (now_ms < self.held_until_ms).then_some(self.held_until_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: Policy = Policy { verdicts_max: 3, window_ms: 60_000, hold_min_ms: 5_000, hold_max_ms: 60_000 };

    /// Condemned at `at`, and back a second later. For how long it is held.
    fn fall(damping: &mut Damping, at: u64) -> u64 {
        damping.condemned(at);
        damping.available(at + 1_000).map_or(0, |until| until - at - 1_000)
    }

    #[test]
    fn the_third_time_it_is_held_and_then_twice_as_long_up_to_a_bound() {
        let mut damping = Damping::new(POLICY);
        let holds: Vec<_> = (0..8).map(|turn| fall(&mut damping, turn * 20_000)).collect();
        assert_eq!(holds, [0, 0, 5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
    }

    #[test]
    fn it_is_released_and_forgiven() {
        let mut damping = Damping::new(POLICY);
        for turn in 0..4 {
            fall(&mut damping, turn * 10_000);
        }
        assert!(damping.available(40_999).is_some());
        assert!(damping.available(41_000).is_none());
        assert_eq!(fall(&mut damping, 200_000), 0);
        assert_eq!(fall(&mut damping, 210_000), 0);
        assert_eq!(fall(&mut damping, 220_000), 5_000, "the holds begin anew");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Held only after enough verdicts within the window, and never for longer than the bound after a return.
        #[test]
        fn a_hold_has_a_reason_and_an_end(turns in prop::collection::vec((1u64..90_000, 1u64..5_000), 1..40)) {
            let mut damping = Damping::new(POLICY);
            let (mut now, mut falls, mut may_hold_until) = (0, Vec::new(), 0);
            for (up, down) in turns {
                now += up;
                damping.condemned(now);
                falls.push(now);
                let recent = falls.iter().filter(|at| now - **at < POLICY.window_ms).count();
                now += down;
                if recent as u64 >= POLICY.verdicts_max {
                    may_hold_until = now + POLICY.hold_max_ms;
                    prop_assert!(damping.available(now).is_some());
                }
                if let Some(until) = damping.available(now) {
                    prop_assert!(until <= may_hold_until);
                }
                prop_assert!(damping.available(may_hold_until.max(now)).is_none());
            }
        }
    }
}
