//! When a lease is renewed, and when it is given up.
//!
//! A parking meter seen from the driver: the time counts from when the coin was thrown, not from when the meter said thanks,
//! so one is never there for longer than one believes. Who cannot throw another coin leaves early enough to be gone when the
//! time is over.
//!
//! ```text
//!   asked      a third: renewed      if not, again and again      given up     over
//!     |---------------|--------------------------------------------|------------|
//! ```

/// A lease is renewed when this part of it is over.
const RENEWED_AFTER: u64 = 3;
/// A renewal that failed is tried again after this part of the lease.
const TRIED_AFTER: u64 = 20;
/// This part of a lease is left for ending what runs under it.
const LEFT_FOR_THE_END: u64 = 6;
/// No end takes longer.
const END_MAX_MS: u64 = 5_000;

/// A lease, by a clock that only its holder looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    lease_ms: u64,
    counts_from_ms: u64,
    renew_at_ms: u64,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing for so long.
    Rest {
        /// How long.
        for_ms: u64,
    },
    /// Renew it, and wait for the answer no longer than that.
    Renew {
        /// How long.
        patience_ms: u64,
    },
    /// Stop what runs under it: the lock may be somebody else's soon.
    GiveUp,
}

impl Lease {
    /// A lease that was asked for then.
    #[must_use]
    pub fn new(lease_ms: u64, asked_at_ms: u64) -> Self {
        Self { lease_ms, counts_from_ms: asked_at_ms, renew_at_ms: asked_at_ms + lease_ms / RENEWED_AFTER }
    }

    /// A renewal that was asked for then was granted.
    pub fn renewed(&mut self, asked_at_ms: u64) {
        *self = Self::new(self.lease_ms, asked_at_ms);
    }

    /// A renewal did not come to an answer that settles it.
    pub fn failed(&mut self, now_ms: u64) {
        self.renew_at_ms = now_ms + self.lease_ms / TRIED_AFTER;
    }

    /// Whether it is not time to renew it yet.
    #[must_use]
    pub fn is_fresh(&self, now_ms: u64) -> bool {
        matches!(self.step(now_ms), Step::Rest { .. })
    }

    /// What is to be done now.
    #[must_use]
    pub fn step(&self, now_ms: u64) -> Step {
        let give_up_at_ms = self.counts_from_ms + self.lease_ms - self.end_ms();
        if now_ms >= give_up_at_ms {
            return Step::GiveUp;
        }
        let left_ms = give_up_at_ms - now_ms;
        if now_ms >= self.renew_at_ms {
            return Step::Renew { patience_ms: left_ms.min((self.lease_ms / RENEWED_AFTER).max(1)) };
        }
        Step::Rest { for_ms: left_ms.min(self.renew_at_ms - now_ms) }
    }

    /// How long what runs under it may take to end.
    #[must_use]
    pub fn end_ms(&self) -> u64 {
        END_MAX_MS.min(self.lease_ms / LEFT_FOR_THE_END)
    }
}

#[cfg(test)]
mod tests {
    use super::{Lease, Step};
    use proptest::prelude::*;

    #[test]
    fn it_is_renewed_at_a_third_and_given_up_before_it_is_over() {
        let mut lease = Lease::new(30_000, 1_000);
        assert_eq!(lease.step(1_000), Step::Rest { for_ms: 10_000 });
        assert!(lease.is_fresh(10_999) && !lease.is_fresh(11_000));
        assert_eq!(lease.step(11_000), Step::Renew { patience_ms: 10_000 });
        lease.failed(11_100);
        assert_eq!(lease.step(11_100), Step::Rest { for_ms: 1_500 });
        assert_eq!(lease.step(25_000), Step::Renew { patience_ms: 1_000 });
        assert_eq!(lease.step(26_000), Step::GiveUp);
        lease.renewed(25_000);
        assert_eq!(lease.step(26_000), Step::Rest { for_ms: 9_000 });
    }

    #[test]
    fn the_shortest_lease_leaves_time_to_end() {
        let lease = Lease::new(1_000, 0);
        assert_eq!(lease.step(833), Step::Renew { patience_ms: 1 });
        assert_eq!(lease.step(834), Step::GiveUp);
        assert_eq!(lease.end_ms(), 166);
    }

    proptest! {
        /// Whatever becomes of the renewals, what runs under the lease has ended before it is over, and is not ended while
        /// renewals are granted in time.
        #[test]
        fn nobody_works_beyond_the_lease(
            lease_ms in 1_000u64..3_600_000,
            answers in prop::collection::vec((any::<bool>(), 0u64..100), 1..60),
        ) {
            let mut lease = Lease::new(lease_ms, 0);
            let (mut now_ms, mut granted_from_ms) = (0, 0);
            for (is_granted, percent) in answers {
                while let Step::Rest { for_ms } = lease.step(now_ms) {
                    prop_assert!(for_ms > 0);
                    now_ms += for_ms;
                }
                let Step::Renew { patience_ms } = lease.step(now_ms) else { break };
                let asked_at_ms = now_ms;
                now_ms += patience_ms * percent / 100;
                if is_granted {
                    lease.renewed(asked_at_ms);
                    granted_from_ms = asked_at_ms;
                    prop_assert_ne!(lease.step(now_ms), Step::GiveUp);
                } else {
                    lease.failed(now_ms);
                }
                prop_assert!(now_ms + lease.end_ms() <= granted_from_ms + lease_ms);
            }
        }
    }
}
