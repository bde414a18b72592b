//! What was written lately: the certifier's memory of the positions behind the horizon.
//!
//! Points are looked up in a map from the hash of a key to the last position that wrote it. (Two keys with one hash can
//! cost a needless conflict; it is the same one on every copy.) Ranges are looked up among the keys that were written
//! after the snapshot, newest position first (`runs`). The keys of a position lie in one block, in the order of writing.
//!
//! The window is bounded by [`Limits`]. When it is full the horizon moves up by whole positions. That depends on what the
//! window holds and nothing else, so all copies move it alike. Forgetting is invisible but for the rule that snapshots
//! below the horizon are refused: a key that was last written at or below the horizon conflicts with none of the others.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;

use super::chain::Chain;
use super::keys::HashedMap;
use super::limits::{KEY_COST_BYTES, Limits, POSITION_COST_BYTES};
use super::log_clock::LogClock;
use super::position::Position;
use super::runs::{KeyPlace, Runs};

/// How much of the buffer for the keys of one position stays allocated.
const OPEN_KEYS_KEPT_BYTES: usize = 1 << 20;

/// The end of the window: the last position that is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    pub(crate) position: Position,
    pub(crate) chain: Chain,
    pub(crate) clock: LogClock,
}

/// One position in the window.
#[derive(Debug, Clone)]
struct Remembered {
    chain: Chain,
    clock: LogClock,
    keys: Box<[u8]>,
    /// How many keys were ever written before.
    first_write: u64,
    writes: u32,
}

/// One written key: its hash, and where it ends in the block of its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    hash: u64,
    end: u32,
}

/// The memory of recent writes.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    limits: Limits,
    horizon: Horizon,
    positions: VecDeque<Remembered>,
    written: VecDeque<Written>,
    last_written: HashedMap<u64, Position>,
    /// First and last position of entries that were put together from parts: the horizon must not come between them, or a
    /// rebuild, which starts behind the horizon, could not put them together again.
    spans: VecDeque<(Position, Position)>,
    cost_bytes: u64,
    runs: Runs,
    forgotten_writes: u64,
    open_keys: Vec<u8>,
    open_first_write: u64,
    open_writes: u32,
}

/// The hash under which a key is looked up.
pub(crate) fn hash_key(key: &[u8]) -> u64 {
    xxh3_64(key)
}

impl Window {
    /// A window that begins, empty, behind the horizon.
    pub(crate) fn new(limits: Limits, horizon: Horizon) -> Self {
        Self {
            limits,
            horizon,
            positions: VecDeque::new(),
            written: VecDeque::new(),
            last_written: HashedMap::new(),
            spans: VecDeque::new(),
            cost_bytes: 0,
            runs: Runs::default(),
            forgotten_writes: 0,
            open_keys: Vec::new(),
            open_first_write: 0,
            open_writes: 0,
        }
    }

    pub(crate) fn horizon(&self) -> Horizon {
        self.horizon
    }

    /// The last position in the window; the horizon if it is empty.
    pub(crate) fn last_position(&self) -> Position {
        self.horizon.position + self.positions.len() as u64
    }

    /// The chain value after a position, if it is remembered.
    pub(crate) fn chain_at(&self, position: Position) -> Option<Chain> {
        if position == self.horizon.position {
            return Some(self.horizon.chain);
        }
        self.sealed(position).map(|sealed| sealed.chain)
    }

    /// The last position that wrote a key, if that was after the snapshot.
    pub(crate) fn written_after(&self, hash: u64, snapshot: Position) -> Option<Position> {
        self.last_written.get(hash).filter(|&position| position > snapshot)
    }

    /// The last position after the snapshot that wrote a key of the range `begin <= key < end`.
    pub(crate) fn range_written_after(&self, begin: &[u8], end: &[u8], snapshot: Position) -> Option<Position> {
        if begin >= end {
            return None;
        }
        let range = (begin, end);
        // Newest first: what is being applied, and behind the last complete run; then the runs; then what is left.
        let mut newest = self.last_position() + 1;
        for run in self.runs.behind(snapshot) {
            if let Some(position) = self.scan(range, run.last, newest) {
                return Some(position);
            }
            newest = run.last;
            let places = || (run.first..=run.last).flat_map(|position| self.places(position));
            if run.meets(range, places, |place| self.key(place)) {
                break;
            }
            newest = run.first - 1;
        }
        self.scan(range, snapshot, newest)
    }

    /// As above for the positions after `oldest` up to `newest`, by going through all of them.
    fn scan(&self, (begin, end): (&[u8], &[u8]), oldest: Position, newest: Position) -> Option<Position> {
        (oldest + 1..=newest).rev().find(|&position| {
            self.places(position).any(|place| {
                let key = self.key(place);
                begin <= key && key < end
            })
        })
    }

    /// Where the keys of a position lie; the last one may be that which is being applied.
    fn places(&self, position: Position) -> impl Iterator<Item = KeyPlace> {
        let (first_write, writes) = match self.sealed(position) {
            Some(sealed) => (sealed.first_write, sealed.writes),
            None => (self.open_first_write, self.open_writes),
        };
        let from = (first_write - self.forgotten_writes) as usize;
        let ends = self.written.range(from..from + writes as usize).map(|written| written.end);
        ends.scan(0, move |start, end| Some(KeyPlace { position, start: std::mem::replace(start, end), end }))
    }

    fn key(&self, place: KeyPlace) -> &[u8] {
        let keys = self.sealed(place.position).map_or(self.open_keys.as_slice(), |sealed| &sealed.keys);
        keys.get(place.start as usize..place.end as usize).unwrap_or_default()
    }

    fn sealed(&self, position: Position) -> Option<&Remembered> {
        let behind = position.checked_sub(self.horizon.position)?.checked_sub(1)?;
        self.positions.get(usize::try_from(behind).ok()?)
    }

    /// Remembers a write of the position that is being applied.
    pub(crate) fn write(&mut self, hash: u64, key: &[u8]) {
        let position = self.last_position() + 1;
        self.last_written.insert(hash, position);
        self.open_keys.extend_from_slice(key);
        // An entry is at most `TRANSACTION_MAX_BYTES`.
        self.written.push_back(Written { hash, end: self.open_keys.len() as u32 });
        self.open_writes += 1;
    }

    /// Remembers that the position being applied completes an entry whose first part is at `first`.
    pub(crate) fn complete(&mut self, first: Position) {
        let last = self.last_position() + 1;
        if first < last {
            // Entries of two senders may be interleaved: one that lies inside another adds nothing to it. What is left has
            // rising ends on both sides, so the horizon needs to look at the first one only.
            while self.spans.back().is_some_and(|inner| inner.0 > first) {
                self.spans.pop_back();
            }
            self.spans.push_back((first, last));
        }
    }

    /// Ends the position that is being applied.
    pub(crate) fn seal(&mut self, chain: Chain, clock: LogClock) {
        let keys: Box<[u8]> = self.open_keys.as_slice().into();
        let sealed = Remembered { chain, clock, keys, first_write: self.open_first_write, writes: self.open_writes };
        self.cost_bytes += sealed.cost_bytes();
        self.positions.push_back(sealed);
        self.runs.seal(self.last_position(), self.open_writes as usize);
        self.open_keys.clear();
        // One huge entry must not hold its memory for ever.
        self.open_keys.shrink_to(OPEN_KEYS_KEPT_BYTES);
        self.open_first_write += u64::from(self.open_writes);
        self.open_writes = 0;
    }

    /// Moves the horizon as the limits demand. True if it moved.
    pub(crate) fn advance(&mut self, log_time_ms: u64) -> bool {
        let before = self.horizon.position;
        while self.is_over_limit(log_time_ms) && self.forget_first() {}
        while let Some((first, last)) = self.spans.front().copied() {
            if first > self.horizon.position {
                break;
            }
            while self.horizon.position < last && self.forget_first() {}
            self.spans.pop_front();
        }
        self.horizon.position != before
    }

    fn is_over_limit(&self, log_time_ms: u64) -> bool {
        let oldest = self.positions.front().map_or(log_time_ms, |first| first.clock.time_ms());
        self.cost_bytes > self.limits.window_bytes_max
            || self.positions.len() as u64 > self.limits.window_positions_max
            || log_time_ms.saturating_sub(oldest) > self.limits.window_age_ms_max
    }

    fn forget_first(&mut self) -> bool {
        let Some(first) = self.positions.pop_front() else {
            return false;
        };
        let position = self.horizon.position + 1;
        self.cost_bytes -= first.cost_bytes();
        for written in self.written.drain(..first.writes as usize) {
            self.last_written.remove_if(written.hash, |last| last == position);
        }
        self.forgotten_writes += u64::from(first.writes);
        self.runs.forget_up_to(position);
        self.horizon = Horizon { position, chain: first.chain, clock: first.clock };
        true
    }
}

/// Two windows are equal if they remember the same, whatever was forgotten before.
impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.limits == other.limits
            && self.horizon == other.horizon
            && self.positions == other.positions
            && self.written == other.written
            && self.last_written == other.last_written
            && self.spans == other.spans
            && self.cost_bytes == other.cost_bytes
            && (&self.open_keys, self.open_writes) == (&other.open_keys, other.open_writes)
    }
}

impl PartialEq for Remembered {
    fn eq(&self, other: &Self) -> bool {
        (self.chain, self.clock, self.writes) == (other.chain, other.clock, other.writes) && self.keys == other.keys
    }
}

impl Remembered {
    fn cost_bytes(&self) -> u64 {
        POSITION_COST_BYTES + self.keys.len() as u64 + u64::from(self.writes) * KEY_COST_BYTES
    }
}
