//! The ids of recent transactions: a client that asks again gets the first outcome, never a second execution.
//!
//! An id is known for `ids_kept_ms` of log time, and at most [`super::Limits::ids_max`] are known: the oldest positions go
//! first, whole. What goes is a function of the log, so a copy that restarts must not bring expired ids back: the position
//! up to which ids are gone is part of the state (`ids_horizon`), and records at or below it are left out when rebuilding.
//!
//! Only a 128-bit hash of each id is kept here. The hash is the same on every copy, so even a collision could not make
//! copies differ.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_128;

use super::keys::HashedMap;
use super::position::{Place, Position};

type IdHash = (u64, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remembered {
    position: Position,
    log_time_ms: u64,
    count: u32,
}

/// The table of known ids.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IdTable {
    places: HashedMap<IdHash, u64>,
    hashes: VecDeque<IdHash>,
    positions: VecDeque<Remembered>,
}

impl IdTable {
    pub(crate) fn new() -> Self {
        Self { places: HashedMap::new(), hashes: VecDeque::new(), positions: VecDeque::new() }
    }

    /// The accepted transaction that had this id.
    pub(crate) fn lookup(&self, id: &str) -> Option<Place> {
        self.places.get(hash(id)).map(unpack)
    }

    /// Remembers an id that [`lookup`](Self::lookup) does not know. Places must rise.
    pub(crate) fn remember(&mut self, place: Place, id: &str, log_time_ms: u64) {
        let hash = hash(id);
        self.places.insert(hash, pack(place));
        self.hashes.push_back(hash);
        match self.positions.back_mut() {
            Some(last) if last.position == place.position => last.count += 1,
            _ => self.positions.push_back(Remembered { position: place.position, log_time_ms, count: 1 }),
        }
    }

    /// Forgets what is too old at this log time, or too much. Returns the positions whose ids are gone.
    pub(crate) fn expire(&mut self, log_time_ms: u64, kept_ms: u64, ids_max: u64) -> Vec<Position> {
        let mut expired = Vec::new();
        while let Some(first) = self.positions.front().copied() {
            let too_old = log_time_ms.saturating_sub(first.log_time_ms) > kept_ms;
            if !too_old && self.hashes.len() as u64 <= ids_max {
                break;
            }
            self.positions.pop_front();
            self.forget(first);
            expired.push(first.position);
        }
        expired
    }

    fn forget(&mut self, gone: Remembered) {
        for _ in 0..gone.count {
            if let Some(hash) = self.hashes.pop_front() {
                self.places.remove_if(hash, |place| unpack(place).position == gone.position);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(crate) fn last_position(&self) -> Option<Position> {
        self.positions.back().map(|last| last.position)
    }
}

fn hash(id: &str) -> IdHash {
    let hash = xxh3_128(id.as_bytes());
    (hash as u64, (hash >> 64) as u64)
}

/// Sixteen bits are enough for an index (`TRANSACTIONS_MAX`); 48 bits of positions last for centuries.
fn pack(place: Place) -> u64 {
    (place.position << 16) | u64::from(place.index & 0xffff)
}

fn unpack(packed: u64) -> Place {
    Place { position: packed >> 16, index: (packed & 0xffff) as u32 }
}
