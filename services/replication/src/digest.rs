//! Digests of a copy's whole content, to compare copies at one position of the log.
//!
//! A mark in the log says where: every copy takes its view right after applying the mark, so all of them speak of the same
//! position while they go on working. Our own reserved keys are left out, because they differ by what each copy has to remember;
//! the locks, which all copies hold alike, are not.

use std::collections::VecDeque;

use holdfast_storage::{CopyError, Snapshot, reserved};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::model::Position;

/// The digest of one copy at one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Where in the log.
    pub position: Position,
    /// Keys that the copy holds.
    pub keys: u64,
    /// Hash over all keys and values in key order.
    pub hash: u128,
}

/// Reads the whole view.
///
/// # Errors
/// When the copy cannot be read.
pub async fn digest_of(snapshot: Snapshot, position: Position) -> Result<Digest, CopyError> {
    let mut hasher = Xxh3::new();
    let content = take_in(&mut hasher, &snapshot, Vec::new(), &[reserved::PREFIX]).await?;
    let locks = take_in(&mut hasher, &snapshot, reserved::LOCKS.to_vec(), &reserved::LOCKS_END).await?;
    snapshot.close().await;
    Ok(Digest { position, keys: content + locks, hash: hasher.digest128() })
}

/// Hashes a range of keys and their values, and counts the keys.
async fn take_in(hasher: &mut Xxh3, snapshot: &Snapshot, mut start: Vec<u8>, end: &[u8]) -> Result<u64, CopyError> {
    let mut keys = 0_u64;
    loop {
        let page = snapshot.page(&start, end).await?;
        let Some((last, _)) = page.last() else { return Ok(keys) };
        start = [last.as_slice(), &[0]].concat();
        for (key, value) in &page {
            hasher.update(&(key.len() as u64).to_be_bytes());
            hasher.update(key);
            hasher.update(&(value.len() as u64).to_be_bytes());
            hasher.update(value);
        }
        keys += page.len() as u64;
        // A large copy takes a while; requests on this thread go first.
        tokio::task::yield_now().await;
    }
}

/// Digests that are remembered; older ones were asked for long ago.
const REMEMBERED: usize = 16;

/// The digests that this copy took.
#[derive(Debug)]
pub struct Digests {
    taken: Mutex<VecDeque<(String, Digest)>>,
    count: watch::Sender<u64>,
}

impl Default for Digests {
    fn default() -> Self {
        Self { taken: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Digests {
    /// Remembers the digest taken at a mark.
    pub fn remember(&self, mark: String, digest: Digest) {
        let mut taken = self.taken.lock();
        taken.push_back((mark, digest));
        if taken.len() > REMEMBERED {
            taken.pop_front();
        }
        drop(taken);
        self.count.send_modify(|count| *count += 1);
    }

    /// Waits for the digest that `is_it` recognises by mark and position.
    pub async fn wait(&self, is_it: impl Fn(&str, Position) -> bool, deadline: Instant) -> Option<Digest> {
        let mut changes = self.count.subscribe();
        loop {
            let found = self
                .taken
                .lock()
                .iter()
                .find(|(mark, digest)| is_it(mark, digest.position))
                .map(|(_, digest)| digest.clone());
            if found.is_some() {
                return found;
            }
            if !matches!(tokio::time::timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                return None;
            }
        }
    }
}
