//! Keeps a scanned range cheap to certify for a transaction that fell behind.
//!
//! Most snapshots are a few positions old, and going through the few keys written since is fastest. One that is seconds old
//! has hundreds of thousands of keys behind it, and going through them for each scanned range would hold up every copy. So
//! whole positions are gathered into runs of about [`RUN_WEIGHT`] keys. The first time that a range meets a run as a whole,
//! its keys are sorted; from then on a run that has nothing of a range is passed over in a few comparisons.
//!
//! Runs only save time: what a range finds does not depend on them, so copies may have them cut and sorted differently.

use std::collections::VecDeque;
use std::sync::OnceLock;

use super::position::Position;

/// Keys and positions that make a run complete.
const RUN_WEIGHT: usize = 1_024;

/// Where a key lies: the position that wrote it, and its place in the block of keys of that position.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyPlace {
    pub(super) position: Position,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The positions from `first` to `last`.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) first: Position,
    pub(super) last: Position,
    sorted: OnceLock<Box<[KeyPlace]>>,
}

impl Run {
    /// True if the run has a key of the range. `places` lists its keys, `key_of` reads one.
    pub(super) fn meets<'a, I: Iterator<Item = KeyPlace>>(
        &self,
        (begin, end): (&[u8], &[u8]),
        places: impl FnOnce() -> I,
        key_of: impl Fn(KeyPlace) -> &'a [u8],
    ) -> bool {
        let sorted = self.sorted.get_or_init(|| {
            let mut places: Box<[KeyPlace]> = places().collect();
            places.sort_unstable_by(|left, right| key_of(*left).cmp(key_of(*right)));
            places
        });
        let at = sorted.partition_point(|place| key_of(*place) < begin);
        sorted.get(at).is_some_and(|place| key_of(*place) < end)
    }
}

/// The complete runs of the window, oldest first, and how far the next one is.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    complete: VecDeque<Run>,
    open_first: Position,
    open_weight: usize,
}

impl Runs {
    /// Takes the next position, with as many keys.
    pub(super) fn seal(&mut self, position: Position, keys: usize) {
        if self.open_weight == 0 {
            self.open_first = position;
        }
        self.open_weight += keys + 1;
        if self.open_weight >= RUN_WEIGHT {
            self.open_weight = 0;
            self.complete.push_back(Run { first: self.open_first, last: position, sorted: OnceLock::new() });
        }
    }

    pub(super) fn forget_up_to(&mut self, horizon: Position) {
        while self.complete.front().is_some_and(|run| run.last <= horizon) {
            self.complete.pop_front();
        }
    }

    /// The complete runs that lie behind a snapshot as a whole, newest first.
    pub(super) fn behind(&self, snapshot: Position) -> impl Iterator<Item = &Run> {
        self.complete.iter().rev().take_while(move |run| run.first > snapshot)
    }
}
