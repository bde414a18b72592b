//! Which line a request will stand in, by the text of its statements: so that it need not run once to find out.
//!
//! A guess, and told by nothing but what became of the same text before. A wrong one costs a wait; it is forgotten then.

use std::collections::HashMap;

/// Texts that are remembered. Beyond that all are forgotten: what is hot is learned anew at once.
const TEXTS_MAX: usize = 4_096;
/// So often in a row a text has to end in one line until it is taken for what it is.
const TIMES_MIN: u32 = 2;

/// What is known of texts, by their hashes.
#[derive(Debug, Default)]
pub struct Forecasts {
    lines: HashMap<u64, (u64, u32)>,
}

impl Forecasts {
    /// The line that this text will end in.
    #[must_use]
    pub fn line(&self, text: u64) -> Option<u64> {
        self.lines.get(&text).filter(|(_, times)| *times >= TIMES_MIN).map(|(key, _)| *key)
    }

    /// This text ended in the line for `key`.
    pub fn note(&mut self, text: u64, key: u64) {
        if self.lines.len() >= TEXTS_MAX && !self.lines.contains_key(&text) {
            self.lines.clear();
        }
        let known = self.lines.entry(text).or_insert((key, 0));
        *known = if known.0 == key { (key, known.1.saturating_add(1)) } else { (key, 1) };
    }

    /// This text did not want the key that it was guessed to want.
    pub fn was_wrong(&mut self, text: u64) {
        self.lines.remove(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_known_when_it_ended_in_one_line_again() {
        let mut forecasts = Forecasts::default();
        forecasts.note(1, 7);
        assert_eq!(forecasts.line(1), None);
        forecasts.note(1, 7);
        assert_eq!((forecasts.line(1), forecasts.line(2)), (Some(7), None));
        forecasts.note(1, 8);
        assert_eq!(forecasts.line(1), None, "the same text wants another key now");
        forecasts.note(1, 8);
        forecasts.was_wrong(1);
        assert_eq!(forecasts.line(1), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut forecasts = Forecasts::default();
        (0..3 * TEXTS_MAX as u64).for_each(|text| forecasts.note(text, 7));
        assert!(forecasts.lines.len() <= TEXTS_MAX);
    }
}
