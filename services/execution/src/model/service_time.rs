//! How long a CSP takes for a request, and what that weighs beside its peers.
//!
//! Two waiters with three guests each are not equally good if one walks at half the speed. But watches differ, one slow guest
//! makes no slow waiter, and completion notes come in batches: so it takes several samples, and clearly more than twice the
//! time of the quickest, to weigh more. A slow CSP gets little and so is measured seldom: what is known of it fades, until it
//! gets another chance, and then the new sample counts for more than the old ones.

/// Differences below this are those of the notes, not of the CSPs.
const NOTED_FLOOR_MS: f64 = 10.0;
/// What the CSPs say themselves is finer.
const REPORTED_FLOOR_MS: f64 = 0.5;
/// So many times the quickest one's time is still no difference.
const TOLERANCE: f64 = 2.0;
/// Least share of a new sample.
const SMOOTHING: f64 = 0.125;
/// Samples that it takes to know anything.
const SAMPLES_MIN: u32 = 8;
/// After this long without a sample half of what is known is forgotten.
const HALF_LIFE_MS: f64 = 1_000.0;
/// A weight below this is none: equals take turns, and nearly equals too.
const WEIGHT_MIN: f64 = 1.5;
/// No CSP weighs more than that many of the quickest.
const WEIGHT_MAX: f64 = 100.0;

/// The time that requests of one kind took at one CSP.
#[derive(Debug, Clone, Copy)]
pub struct ServiceTime {
    mean_ms: Option<f64>,
    noted_at_ms: u64,
    is_reported: bool,
    samples: u32,
    weight: f64,
}

impl Default for ServiceTime {
    fn default() -> Self {
        Self { mean_ms: None, noted_at_ms: 0, is_reported: false, samples: 0, weight: 1.0 }
    }
}

impl ServiceTime {
    /// The CSP says itself how long they take. From then on that counts, and not what we see, which includes the way.
    pub fn report(&mut self, took_us: u32, now_ms: u64) {
        self.is_reported = true;
        self.mean_ms = Some(f64::from(took_us) / 1_000.0);
        self.noted_at_ms = now_ms;
    }

    /// One request took that long, from here to the note and back.
    pub fn note(&mut self, took_ms: u64, now_ms: u64) {
        if self.is_reported {
            return;
        }
        let took_ms = took_ms as f64;
        let share = SMOOTHING.max(1.0 - self.remembered(now_ms));
        self.mean_ms = Some(self.mean_ms.map_or(took_ms, |mean| mean + (took_ms - mean) * share));
        self.samples = self.samples.saturating_add(1);
        self.noted_at_ms = now_ms;
    }

    /// The mean of what was noted.
    pub fn mean_ms(&self) -> Option<f64> {
        self.mean_ms
    }

    /// Reckons the weight anew, beside the quickest CSP, which takes `least_ms`.
    pub fn weigh(&mut self, least_ms: f64, now_ms: u64) {
        let Some(mean_ms) = self.mean_ms else {
            return;
        };
        let is_known = self.is_reported || self.samples >= SAMPLES_MIN;
        let floor_ms = if self.is_reported { REPORTED_FLOOR_MS } else { NOTED_FLOOR_MS };
        let slower = mean_ms.max(floor_ms) / (TOLERANCE * least_ms.max(floor_ms));
        let weight = 1.0 + (slower.clamp(1.0, WEIGHT_MAX) - 1.0) * self.remembered(now_ms);
        self.weight = if is_known && weight >= WEIGHT_MIN { weight } else { 1.0 };
    }

    /// The share of what is known that is not forgotten yet.
    fn remembered(&self, now_ms: u64) -> f64 {
        let age_ms = now_ms.saturating_sub(self.noted_at_ms) as f64;
        (-age_ms / HALF_LIFE_MS).exp2()
    }

    /// What a request weighs here, if one at the quickest CSP weighs 1.
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(took_ms: u64, least_ms: f64, now_ms: u64) -> f64 {
        let mut time = ServiceTime::default();
        (0..100).for_each(|_| time.note(took_ms, 0));
        time.weigh(least_ms, now_ms);
        time.weight()
    }

    #[test]
    fn small_differences_weigh_nothing() {
        assert_eq!(ServiceTime::default().weight(), 1.0);
        assert_eq!(weight(19, 0.0, 0), 1.0, "both are within what notes add");
        assert_eq!(weight(59, 20.0, 0), 1.0);
    }

    #[test]
    fn a_few_slow_requests_weigh_nothing() {
        let mut time = ServiceTime::default();
        (1..SAMPLES_MIN).for_each(|_| time.note(1_000, 0));
        time.weigh(1.0, 0);
        assert_eq!(time.weight(), 1.0);
        time.note(1_000, 0);
        time.weigh(1.0, 0);
        assert_eq!(time.weight(), 50.0);
    }

    #[test]
    fn a_slow_one_weighs_more_until_that_fades() {
        assert_eq!(weight(400, 20.0, 0), 10.0);
        assert_eq!(weight(400, 20.0, 1_000), 5.5);
        assert_eq!(weight(400, 20.0, 5_000), 1.0);
        assert_eq!(weight(1_000_000_000, 1.0, 0), WEIGHT_MAX);
    }

    #[test]
    fn a_sample_after_a_long_time_counts_for_more() {
        let mut time = ServiceTime::default();
        (0..100).for_each(|_| time.note(400, 0));
        time.note(8, 8_000);
        assert!(time.mean_ms().is_some_and(|mean| mean < 10.0), "{:?}", time.mean_ms());
    }

    #[test]
    fn the_csps_own_word_counts_more_than_what_is_seen() {
        let mut time = ServiceTime::default();
        time.note(1_000, 0);
        time.report(20_000, 0);
        time.note(1_000, 0);
        assert_eq!(time.mean_ms(), Some(20.0));
    }
}
