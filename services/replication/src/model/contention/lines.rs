//! Who stands where for which key, and whose turn it is.
//!
//! Transactions that want the same key wait for one another here, before they run: each runs on what the one before it left, so
//! one execution and one entry of the log are spent for each success.
//!
//! A line is named by the hash of a key. A transaction (a *ticket*) stands in one line at a time, so nobody can wait in a circle:
//! whoever has the turn waits for no other line, only for the log.
//!
//! ```text
//!   a line that is there has a turn, and it belongs to one ticket
//!   whoever came first has it first, but for one that comes back from its turn: it is next
//! ```
//!
//! A turn that takes long is taken away, so that the others go on: its ticket is *aside*. It may still commit what it did.

use std::collections::{HashMap, HashSet, VecDeque};

/// Names a transaction while it is tried.
pub type Ticket = u64;

/// Those who want one key.
#[derive(Debug)]
struct Line {
    turn: Ticket,
    waiting: VecDeque<Ticket>,
}

/// All lines.
#[derive(Debug, Default)]
pub struct Lines {
    lines: HashMap<u64, Line>,
    /// Where each ticket stands, at its turn or waiting for it.
    places: HashMap<Ticket, u64>,
    aside: HashSet<Ticket>,
}

impl Lines {
    /// Whether nobody stands anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.aside.is_empty()
    }

    /// Whether there is a line for this key.
    #[must_use]
    pub fn has_line(&self, key: u64) -> bool {
        self.lines.contains_key(&key)
    }

    /// The longest line for any of these keys.
    #[must_use]
    pub fn longest(&self, keys: impl Iterator<Item = u64>) -> Option<u64> {
        if self.lines.is_empty() {
            return None;
        }
        let found = keys.filter_map(|key| Some((self.lines.get(&key)?.waiting.len(), key)));
        // The first of equals, so that those who want the same keys choose alike.
        found.reduce(|longest, other| if other.0 > longest.0 { other } else { longest }).map(|(_, key)| key)
    }

    /// Whether it may go on to the log: it has the turn, or had it.
    #[must_use]
    pub fn may_enter(&self, ticket: Ticket) -> bool {
        self.aside.contains(&ticket) || self.has_turn(ticket)
    }

    /// Whether it is its turn.
    #[must_use]
    pub fn has_turn(&self, ticket: Ticket) -> bool {
        self.line_of(ticket).is_some_and(|line| line.turn == ticket)
    }

    /// The key of the line that it stands in.
    #[must_use]
    pub fn key_of(&self, ticket: Ticket) -> Option<u64> {
        self.places.get(&ticket).copied()
    }

    /// Stands at the end of a line. Whoever has a place keeps that.
    pub fn join(&mut self, ticket: Ticket, key: u64) {
        if self.aside.remove(&ticket) {
            self.join_as(ticket, key, VecDeque::push_front);
        } else {
            self.join_as(ticket, key, VecDeque::push_back);
        }
    }

    fn join_as(&mut self, ticket: Ticket, key: u64, push: fn(&mut VecDeque<Ticket>, Ticket)) {
        if self.places.contains_key(&ticket) {
            return;
        }
        self.places.insert(ticket, key);
        match self.lines.get_mut(&key) {
            Some(line) => push(&mut line.waiting, ticket),
            None => drop(self.lines.insert(key, Line { turn: ticket, waiting: VecDeque::new() })),
        }
    }

    /// Leaves, wherever it stands. Gives whose turn it is because of that.
    pub fn leave(&mut self, ticket: Ticket) -> Option<Ticket> {
        self.aside.remove(&ticket);
        let key = self.places.remove(&ticket)?;
        let line = self.lines.get_mut(&key)?;
        if line.turn != ticket {
            line.waiting.retain(|waiting| *waiting != ticket);
            return None;
        }
        match line.waiting.pop_front() {
            Some(next) => {
                line.turn = next;
                Some(next)
            }
            None => {
                self.lines.remove(&key);
                None
            }
        }
    }

    /// Its turn takes too long: gives whose turn it is now.
    pub fn step_aside(&mut self, ticket: Ticket) -> Option<Ticket> {
        if !self.has_turn(ticket) {
            return None;
        }
        let next = self.leave(ticket);
        self.aside.insert(ticket);
        next
    }

    fn line_of(&self, ticket: Ticket) -> Option<&Line> {
        self.lines.get(self.places.get(&ticket)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Join(Ticket, u64),
        Leave(Ticket),
        Aside(Ticket),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0..6_u8, 0..12_u64, 0..3_u64).prop_map(|(what, ticket, key)| match what {
            0..3 => Step::Join(ticket, key),
            3..5 => Step::Leave(ticket),
            _ => Step::Aside(ticket),
        });
        prop::collection::vec(step, 1..120)
    }

    /// The lines as lists of tickets, the first of which has the turn.
    #[derive(Default)]
    struct Plain {
        lines: HashMap<u64, Vec<Ticket>>,
        aside: HashSet<Ticket>,
    }

    impl Plain {
        fn step(&mut self, step: Step) -> Option<Ticket> {
            match step {
                Step::Join(ticket, key) => {
                    if self.lines.values().any(|line| line.contains(&ticket)) {
                        return None;
                    }
                    let line = self.lines.entry(key).or_default();
                    let at = if self.aside.remove(&ticket) { line.len().min(1) } else { line.len() };
                    line.insert(at, ticket);
                    None
                }
                Step::Leave(ticket) => {
                    self.aside.remove(&ticket);
                    self.remove(ticket)
                }
                Step::Aside(ticket) if self.lines.values().any(|line| line[0] == ticket) => {
                    self.aside.insert(ticket);
                    self.remove(ticket)
                }
                Step::Aside(_) => None,
            }
        }

        fn remove(&mut self, ticket: Ticket) -> Option<Ticket> {
            let line = self.lines.values_mut().find(|line| line.contains(&ticket))?;
            let had_turn = line[0] == ticket;
            line.retain(|other| *other != ticket);
            let next = line.first().copied().filter(|_| had_turn);
            self.lines.retain(|_, line| !line.is_empty());
            next
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever comes in which order: the turn is always somebody's, it goes on in the order of arrival, and whoever gets
        /// it is told.
        #[test]
        fn a_line_that_is_there_has_a_turn(steps in steps()) {
            let (mut lines, mut plain) = (Lines::default(), Plain::default());
            for step in steps {
                let next = match step {
                    Step::Join(ticket, key) => { lines.join(ticket, key); None }
                    Step::Leave(ticket) => lines.leave(ticket),
                    Step::Aside(ticket) => lines.step_aside(ticket),
                };
                prop_assert_eq!(next, plain.step(step));
                for key in 0..3 {
                    let wanted = plain.lines.get(&key).cloned().unwrap_or_default();
                    let line = lines.lines.get(&key);
                    let found: Vec<_> = line.iter().flat_map(|line| [line.turn].into_iter().chain(line.waiting.iter().copied())).collect();
                    prop_assert_eq!(&found, &wanted);
                    prop_assert!(wanted.iter().enumerate().all(|(at, ticket)| lines.has_turn(*ticket) == (at == 0)));
                }
                prop_assert_eq!(&lines.aside, &plain.aside);
                let longest = lines.longest([0, 1, 2].into_iter()).map(|key| plain.lines[&key].len());
                prop_assert_eq!(longest, plain.lines.values().map(Vec::len).max());
                prop_assert_eq!(lines.places.len(), plain.lines.values().map(Vec::len).sum::<usize>());
            }
        }

        /// Everybody leaves at the end of its turn, as whoever commits does: all are served, in the order in which they came.
        #[test]
        fn all_are_served_in_the_order_in_which_they_came(tickets in 1..200_u64) {
            let mut lines = Lines::default();
            (0..tickets).for_each(|ticket| lines.join(ticket, 7));
            let mut turn = Some(0);
            for ticket in 0..tickets {
                prop_assert_eq!(turn, Some(ticket));
                turn = lines.leave(ticket);
            }
            prop_assert_eq!(turn, None);
            prop_assert!(!lines.has_line(7));
        }
    }
}
