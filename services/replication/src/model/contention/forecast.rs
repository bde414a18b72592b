//! Which line a request will stand in, by what it asks for: so that it need not run once to find out.
//!
//! A guess, and told by nothing but what became of the same request before, with the same variables: one text of statements may want
//! another record each time. A wrong guess costs a wait; it is forgotten then.

use std::collections::HashMap;

/// Requests that are remembered. Beyond that all are forgotten: what is hot is learned anew at once.
const REQUESTS_MAX: usize = 4_096;
/// So often in a row a request has to end in one line until it is taken for what it is.
const TIMES_MIN: u32 = 2;

/// What is known of requests, by their fingerprints.
#[derive(Debug, Default)]
pub struct Forecasts {
    lines: HashMap<u64, (u64, u32)>,
}

impl Forecasts {
    /// The line that a request with this fingerprint will end in.
    #[must_use]
    pub fn line(&self, fingerprint: u64) -> Option<u64> {
        self.lines.get(&fingerprint).filter(|(_, times)| *times >= TIMES_MIN).map(|(key, _)| *key)
    }

    /// It ended in the line for `key`.
    pub fn note(&mut self, fingerprint: u64, key: u64) {
        if self.lines.len() >= REQUESTS_MAX && !self.lines.contains_key(&fingerprint) {
            self.lines.clear();
        }
        let known = self.lines.entry(fingerprint).or_insert((key, 0));
        *known = if known.0 == key { (key, known.1.saturating_add(1)) } else { (key, 1) };
    }

    /// It did not want the key that it was guessed to want.
    pub fn was_wrong(&mut self, fingerprint: u64) {
        self.lines.remove(&fingerprint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_when_it_ended_in_one_line_again() {
        let mut forecasts = Forecasts::default();
        forecasts.note(1, 7);
        assert_eq!(forecasts.line(1), None);
        forecasts.note(1, 7);
        assert_eq!((forecasts.line(1), forecasts.line(2)), (Some(7), None));
        forecasts.note(1, 8);
        assert_eq!(forecasts.line(1), None, "the same request wants another key now");
        forecasts.note(1, 8);
        forecasts.was_wrong(1);
        assert_eq!(forecasts.line(1), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut forecasts = Forecasts::default();
        (0..3 * REQUESTS_MAX as u64).for_each(|fingerprint| forecasts.note(fingerprint, 7));
        assert!(forecasts.lines.len() <= REQUESTS_MAX);
    }
}
