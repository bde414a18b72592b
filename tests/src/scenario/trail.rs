//! What one client saw of the group over time: when it was answered, and what was not answered as it should be.

use std::time::Duration;

use tokio::time::Instant;

/// A client's answers and failures, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    answers: Vec<Instant>,
    failures: Vec<(Instant, String)>,
}

impl Trail {
    /// The first attempt was answered as it should be.
    pub fn answered(&mut self, at: Instant) {
        self.answers.push(at);
    }

    /// The first attempt was not: with an error, or not at all.
    pub fn failed(&mut self, at: Instant, how: String) {
        self.failures.push((at, how));
    }

    /// Answers since a moment.
    pub fn answers_since(&self, from: Instant) -> usize {
        self.answers.iter().rev().take_while(|at| **at >= from).count()
    }

    /// What failed since a moment.
    pub fn failures_since(&self, from: Instant) -> impl Iterator<Item = &str> {
        self.failures.iter().filter(move |(at, _)| *at >= from).map(|(_, how)| how.as_str())
    }

    /// The longest time from one answer to the next, of those that came since a moment: the pause that a fault at that
    /// moment caused, with nothing taken off.
    pub fn longest_pause_since(&self, from: Instant) -> Duration {
        let pauses = self.answers.windows(2).rev().take_while(|pair| pair[1] >= from).map(|pair| pair[1] - pair[0]);
        pauses.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_begins_with_the_last_answer_before_the_fault() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut trail = Trail::default();
        [0, 900, 910, 920, 1_100, 1_105].into_iter().for_each(|ms| trail.answered(at(ms)));
        trail.failed(at(915), "before".into());
        trail.failed(at(1_000), "after".into());
        assert_eq!(trail.longest_pause_since(at(930)), Duration::from_millis(180));
        assert_eq!(trail.answers_since(at(930)), 2);
        assert_eq!(trail.failures_since(at(930)).collect::<Vec<_>>(), ["after"]);
        assert_eq!(trail.longest_pause_since(at(2_000)), Duration::ZERO);
    }
}
