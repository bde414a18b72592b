//! Maps from hashes, in shards. A single large map stops its user for long each time it grows; shards grow one by one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};

const SHARD_BITS: u32 = 6;

/// Passes on the first word of a key, which is a hash already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }
}

/// A key that is a hash.
pub(crate) trait Hashed: Copy + Eq + Hash {
    /// Bits that select the shard.
    fn shard_bits(self) -> u64;
}

impl Hashed for u64 {
    fn shard_bits(self) -> u64 {
        // The map itself selects by the lowest and the highest bits.
        self >> 40
    }
}

impl Hashed for (u64, u64) {
    fn shard_bits(self) -> u64 {
        self.0 >> 40
    }
}

/// A map from hashes to small values.
#[derive(Debug, Clone)]
pub(crate) struct HashedMap<K, V> {
    shards: Vec<HashMap<K, V, BuildHasherDefault<Passed>>>,
}

impl<K: Hashed, V: Copy> HashedMap<K, V> {
    pub(crate) fn new() -> Self {
        Self { shards: (0..1 << SHARD_BITS).map(|_| HashMap::default()).collect() }
    }

    pub(crate) fn get(&self, key: K) -> Option<V> {
        self.shards.get(shard_of(key)).and_then(|shard| shard.get(&key)).copied()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if let Some(shard) = self.shards.get_mut(shard_of(key)) {
            shard.insert(key, value);
        }
    }

    /// Removes the key if its value is as wanted.
    pub(crate) fn remove_if(&mut self, key: K, wanted: impl FnOnce(V) -> bool) {
        if let Some(shard) = self.shards.get_mut(shard_of(key))
            && let Entry::Occupied(entry) = shard.entry(key)
            && wanted(*entry.get())
        {
            entry.remove();
        }
    }
}

impl<K: Hashed, V: PartialEq> PartialEq for HashedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.shards == other.shards
    }
}

fn shard_of<K: Hashed>(key: K) -> usize {
    (key.shard_bits() & ((1 << SHARD_BITS) - 1)) as usize
}
