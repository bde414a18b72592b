//! Who stands where in the line for one lock.
//!
//! A counter at which each name is called once. Whoever comes under a name that stands there already, as a client does that got
//! no answer and asks again, stands beside it: the line grows no longer, and the place is kept until the last one under that
//! name has left.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What all who stand at one place share.
#[derive(Debug)]
struct Place<T> {
    id: Arc<str>,
    standing: usize,
    bell: T,
}

/// The line for one lock: a place for each id, with what tells those who stand there.
#[derive(Debug)]
pub struct LockLine<T> {
    /// In the order in which they came.
    places: BTreeMap<u64, Place<T>>,
    numbers: HashMap<Arc<str>, u64>,
    next: u64,
}

impl<T> Default for LockLine<T> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), numbers: HashMap::new(), next: 0 }
    }
}

impl<T> LockLine<T> {
    /// Whether nobody stands here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Stands at the place of this id, or at the end with this bell if it has none. Gives the bell of the place.
    pub fn join(&mut self, id: &str, bell: T) -> &T {
        let number = self.numbers.get(id).copied().unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        let place = self.places.entry(number).or_insert_with(|| {
            let id: Arc<str> = Arc::from(id);
            self.numbers.insert(Arc::clone(&id), number);
            Place { id, standing: 0, bell }
        });
        place.standing += 1;
        &place.bell
    }

    /// One of those who stand at the place of this id leaves. Gives the bell of the place that is the first because of that.
    pub fn leave(&mut self, id: &str) -> Option<&T> {
        let number = *self.numbers.get(id)?;
        let was_first = self.is_first(id);
        let place = self.places.get_mut(&number)?;
        place.standing -= 1;
        if place.standing > 0 {
            return None;
        }
        self.places.remove(&number);
        self.numbers.remove(id);
        self.first().filter(|_| was_first)
    }

    /// Whether the place of this id is the first.
    #[must_use]
    pub fn is_first(&self, id: &str) -> bool {
        self.places.first_key_value().is_some_and(|(_, place)| *place.id == *id)
    }

    /// The bell of the first place.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.places.first_key_value().map(|(_, place)| &place.bell)
    }

    /// The bell of the place of this id.
    #[must_use]
    pub fn of(&self, id: &str) -> Option<&T> {
        self.places.get(self.numbers.get(id)?).map(|place| &place.bell)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Against a list of ids, and of how many stand there: a repetition gets no place of its own, and keeps the one that is
        /// there; whoever becomes the first is told, once.
        #[test]
        fn an_id_has_one_place_for_as_long_as_anybody_stands_there(steps in prop::collection::vec((0..8_u8, 0..5_u8), 1..120)) {
            let mut line = LockLine::default();
            let mut plain: Vec<(String, usize, usize)> = Vec::new();
            for (bell, (id, what)) in steps.into_iter().enumerate() {
                let id = format!("id {id}");
                let at = plain.iter().position(|(other, ..)| *other == id);
                match (what, at) {
                    (0..3, Some(at)) => {
                        plain[at].1 += 1;
                        prop_assert_eq!(*line.join(&id, bell), plain[at].2);
                    }
                    (0..3, None) => {
                        plain.push((id.clone(), 1, bell));
                        prop_assert_eq!(*line.join(&id, bell), bell);
                    }
                    (_, None) => prop_assert_eq!(line.leave(&id), None),
                    (_, Some(at)) => {
                        plain[at].1 -= 1;
                        let is_gone = plain[at].1 == 0;
                        if is_gone {
                            plain.remove(at);
                        }
                        let next = plain.first().map(|(_, _, bell)| *bell).filter(|_| is_gone && at == 0);
                        prop_assert_eq!(line.leave(&id).copied(), next);
                    }
                }
                prop_assert_eq!(line.is_empty(), plain.is_empty());
                prop_assert_eq!(line.first().copied(), plain.first().map(|(_, _, bell)| *bell));
                for (at, (id, _, bell)) in plain.iter().enumerate() {
                    prop_assert_eq!(line.of(id), Some(bell));
                    prop_assert_eq!(line.is_first(id), at == 0);
                }
                prop_assert_eq!((line.places.len(), line.numbers.len()), (plain.len(), plain.len()));
            }
        }
    }
}
