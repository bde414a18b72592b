//! The messages of one open transaction: which was carried out, and which comes again.
//!
//! A counter where numbered forms are handed in, one after the other. Who comes with the last form again gets a copy of the
//! receipt. Who comes with an older one is told that it was dealt with; nobody's form is dealt with twice.
//!
//! Two things name a message. Its sender's own number, counted from 1, holds over everything: connections, instances, time-outs.
//! The key that an instance of execution gave it is the same in each attempt of that instance, also where the sender gave no
//! number. Keys of one instance grow in the order in which messages came to it, so an attempt that was overtaken by a later
//! message is known by its key, however late it arrives.
//!
//! What was refused is noted as well: a later attempt at it must not be carried out behind the refusal.

/// Instances of execution over which one transaction's messages may come. More than ever run, and restart, in its life.
const SENDERS_MAX: usize = 64;

/// What an instance of execution calls a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// The instance.
    pub sender: &'a str,
    /// Its number of the message.
    pub number: u64,
}

impl<'a> Key<'a> {
    /// Reads `<instance>:<number>`; none if it is anything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (sender, number) = text.split_once(':')?;
        (!sender.is_empty()).then_some(Self { sender, number: number.parse().ok()? })
    }
}

/// A message that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its sender's number, counted from 1.
    pub number: Option<u64>,
    /// The key of the instance that forwarded it.
    pub key: Option<Key<'a>>,
    /// The fingerprint of what it asks for.
    pub content: u64,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The next one: it is to be carried out, now.
    Next,
    /// The last one again: what that was answered, or will be, is its answer.
    Again,
    /// One before the last, or one that was refused.
    Passed,
    /// By its number the next one, and behind one that was sent later: what was refused meanwhile may be this attempt, so it is not
    /// carried out.
    Overtaken {
        /// Its number.
        next: u64,
    },
    /// Messages before it are missing.
    Ahead {
        /// The number that is next.
        next: u64,
    },
    /// The last one's number on something else.
    Differs,
    /// Another one, while the last one is being carried out.
    Busy,
    /// It comes over more instances than are kept apart.
    Crowded,
}

/// What is known of a transaction's messages.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    /// How many were begun.
    count: u64,
    content: u64,
    key: Option<(usize, u64)>,
    /// The highest number of each sender.
    seen: Vec<(Box<str>, u64)>,
}

impl Messages {
    /// Decides about a message, while the last one `is_running` or not. The next one is counted as begun.
    pub fn take(&mut self, message: &Message<'_>, is_running: bool) -> Turn {
        if self.is_last(message) {
            return if self.content == message.content { Turn::Again } else { Turn::Differs };
        }
        if message.key.is_some_and(|key| self.is_seen(key)) {
            let next = self.count + 1;
            return if message.number == Some(next) { Turn::Overtaken { next } } else { Turn::Passed };
        }
        if !self.note(message) {
            return Turn::Crowded;
        }
        match message.number {
            Some(number) if number <= self.count => Turn::Passed,
            Some(number) if number > self.count + 1 => Turn::Ahead { next: self.count + 1 },
            _ if is_running => Turn::Busy,
            _ => {
                self.count += 1;
                self.content = message.content;
                self.key = message.key.and_then(|key| Some((self.place(key)?, key.number)));
                Turn::Next
            }
        }
    }

    /// A message is refused without a look at the others: no attempt at it may be carried out later.
    pub fn refuse(&mut self, message: &Message<'_>) {
        self.note(message);
    }

    /// Whether it is the one that was begun last, again.
    #[must_use]
    pub fn repeats(&self, message: &Message<'_>) -> bool {
        self.is_last(message) && self.content == message.content
    }

    /// By its number or by its key.
    fn is_last(&self, message: &Message<'_>) -> bool {
        let by_number = message.number.is_some_and(|number| number == self.count && self.count > 0);
        let by_key =
            message.key.is_some_and(|key| self.place(key).is_some_and(|at| self.key == Some((at, key.number))));
        by_number || by_key
    }

    /// How many were begun.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    fn place(&self, key: Key<'_>) -> Option<usize> {
        self.seen.iter().position(|(sender, _)| **sender == *key.sender)
    }

    fn is_seen(&self, key: Key<'_>) -> bool {
        self.seen.iter().any(|(sender, highest)| **sender == *key.sender && *highest >= key.number)
    }

    /// Notes the key; false if there is no room for one more sender.
    fn note(&mut self, message: &Message<'_>) -> bool {
        let Some(key) = message.key else { return true };
        let is_full = self.seen.len() >= SENDERS_MAX;
        match self.seen.iter_mut().find(|(sender, _)| **sender == *key.sender) {
            Some((_, highest)) => *highest = (*highest).max(key.number),
            None if is_full => return false,
            None => self.seen.push((key.sender.into(), key.number)),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn keyed(sender: &str, number: u64) -> Message<'_> {
        Message { number: None, key: Some(Key { sender, number }), content: number }
    }

    fn numbered(number: u64) -> Message<'static> {
        Message { number: Some(number), key: None, content: number }
    }

    #[test]
    fn a_key_is_an_instance_and_a_number() {
        assert_eq!(Key::parse("01J:17"), Some(Key { sender: "01J", number: 17 }));
        for odd in ["", "a", ":1", "a:", "a:b", "a:1:2"] {
            assert_eq!(Key::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_comes_again_is_known_by_its_key() {
        let mut messages = Messages::default();
        assert_eq!(messages.take(&keyed("a", 5), false), Turn::Next);
        assert_eq!(messages.take(&keyed("a", 5), true), Turn::Again);
        assert_eq!(messages.take(&keyed("a", 6), true), Turn::Busy);
        assert_eq!(messages.take(&keyed("a", 6), false), Turn::Passed, "it was refused");
        assert_eq!(messages.take(&keyed("b", 1), false), Turn::Next);
        assert_eq!(messages.take(&keyed("a", 5), false), Turn::Passed);
        assert_eq!(messages.take(&keyed("b", 1), false), Turn::Again);
    }

    #[test]
    fn the_next_one_that_was_overtaken_is_told_to_come_again() {
        let mut messages = Messages::default();
        let both = |number, key| Message { key: Some(Key { sender: "a", number: key }), ..numbered(number) };
        assert_eq!(messages.take(&both(1, 1), false), Turn::Next);
        assert_eq!(messages.take(&both(3, 3), false), Turn::Ahead { next: 2 });
        assert_eq!(messages.take(&both(2, 2), false), Turn::Overtaken { next: 2 });
        assert_eq!(messages.take(&both(2, 4), false), Turn::Next, "it came again");
        assert_eq!(messages.take(&both(1, 1), false), Turn::Passed);
    }

    #[test]
    fn what_comes_again_is_known_by_its_number_over_any_instance() {
        let mut messages = Messages::default();
        assert_eq!(messages.take(&numbered(2), false), Turn::Ahead { next: 1 });
        assert_eq!(messages.take(&numbered(1), false), Turn::Next);
        let again = Message { key: Some(Key { sender: "b", number: 9 }), ..numbered(1) };
        assert_eq!(messages.take(&again, true), Turn::Again);
        assert_eq!(messages.take(&Message { content: 7, ..numbered(1) }, false), Turn::Differs);
        assert_eq!(messages.take(&numbered(2), false), Turn::Next);
        assert_eq!(messages.take(&again, false), Turn::Passed);
        assert_eq!(messages.take(&numbered(4), false), Turn::Ahead { next: 3 });
    }

    #[test]
    fn one_over_too_many_instances_is_not_carried_out() {
        let mut messages = Messages::default();
        let names: Vec<_> = (0..=SENDERS_MAX).map(|at| at.to_string()).collect();
        let turns: Vec<_> = names.iter().map(|name| messages.take(&keyed(name, 1), false)).collect();
        assert!(turns[..SENDERS_MAX].iter().all(|turn| *turn == Turn::Next));
        assert_eq!(turns[SENDERS_MAX], Turn::Crowded);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        /// A client sends messages one after the other over several instances; attempts at any of them arrive at any later
        /// time, again and again. Each is carried out once at most, in order, and only its own answer is told for it. What was
        /// refused is never carried out by an attempt at the same message.
        #[test]
        fn no_message_is_carried_out_twice(
            steps in proptest::collection::vec((0..4_u8, any::<prop::sample::Index>(), any::<bool>(), 0..3_usize), 1..80),
        ) {
            const SENDERS: [&str; 3] = ["a", "b", "c"];
            let mut messages = Messages::default();
            let mut keys = [0_u64; 3];
            // (message as sent, what the client numbers it), the one that runs, what was carried out and refused.
            let mut sent: Vec<(usize, u64, Option<u64>, u64)> = Vec::new();
            let mut is_running = false;
            let (mut done, mut refused, mut last) = (Vec::new(), BTreeSet::new(), None);
            for (kind, which, has_number, sender) in steps {
                let at = match kind {
                    0 => { is_running = false; continue; }
                    1 if !is_running => {
                        keys[sender] += 1;
                        let number = has_number.then_some(done.len() as u64 + 1);
                        sent.push((sender, keys[sender], number, sent.len() as u64));
                        sent.len() - 1
                    }
                    _ if sent.is_empty() => continue,
                    _ => which.index(sent.len()),
                };
                let (sender, key, number, content) = sent[at];
                let message = Message { number, key: Some(Key { sender: SENDERS[sender], number: key }), content };
                match messages.take(&message, is_running) {
                    Turn::Next => {
                        prop_assert!(!done.contains(&at), "carried out twice");
                        prop_assert!(!refused.contains(&at), "carried out after a refusal");
                        prop_assert!(!is_running);
                        done.push(at);
                        (last, is_running) = (Some(at), true);
                    }
                    Turn::Again => prop_assert_eq!(last, Some(at)),
                    Turn::Overtaken { next } => {
                        prop_assert!(!done.contains(&at), "told to come again behind its own outcome");
                        prop_assert_eq!(Some(next), number);
                        refused.insert(at);
                    }
                    Turn::Passed | Turn::Ahead { .. } | Turn::Differs | Turn::Busy | Turn::Crowded => {
                        if !done.contains(&at) { refused.insert(at); }
                    }
                }
                prop_assert_eq!(messages.count(), done.len() as u64);
            }
        }
    }
}
