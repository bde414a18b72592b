//! Gathers what several messages of the log decided, to be written in one inner commit.
//!
//! Invariant: data, ids, refusals and the applied state of the last message are written together or not at all.
//!
//! Invariant: an inner commit fits into the write buffer of every copy, empty as it may be ([`WRITE_BUFFER_MIN_BYTES`]). What does
//! not fit would end the copy at every start from then on. An entry is bounded by the rules. What is gathered before it is bounded
//! by the applier, which writes as soon as there is [`GATHERED_MAX_BYTES`]. What a message leaves to clean up has no bound, as when
//! the ids of a busy hour expire at once: that is done by and by, and nothing of it is looked at any more.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use holdfast_storage::{
    Copy, CopyError, KeyWrite, WRITE_BYTES, arena_bytes, is_changefeed_placeholder, place_stamp, reserved,
};

use super::kept_ids::{KeptId, KeptIds};
use crate::entry::{TRANSACTION_MAX_BYTES, WRITES_MAX};
use crate::fault::{self, Sabotage};
use crate::model::lock_table::LockWrite;
use crate::model::{Applied, AppliedBatch, AppliedState, KnownLog, LogMark, Outcome, Position};

/// The smallest write buffer of a copy: the largest entry, behind what is gathered before it, with what is ours.
pub const WRITE_BUFFER_MIN_BYTES: u64 =
    arena_bytes(WRITES_MAX as u64, TRANSACTION_MAX_BYTES as u64) + GATHERED_MAX_BYTES + OWN_MAX_BYTES;
/// Room in the write buffer that may be filled before what is gathered is written.
pub const GATHERED_MAX_BYTES: u64 = 4 << 20;
/// Room for what we write ourselves for one entry: its ids and results are part of its bytes but for one byte each, its
/// refusals take a bit each, the applied state is small, and what is cleaned up is bounded.
const OWN_MAX_BYTES: u64 = 2 << 20;
/// Most values of each kind that one commit cleans up.
const CLEANED_MAX: usize = 4_096;

/// What is to be written.
#[derive(Debug, Default)]
pub struct ApplyBuffer {
    batches: Vec<AppliedBatch>,
    /// What their accepted transactions do to locks, in their order.
    locks: Vec<LockWrite>,
    /// Keys of our own: `Some` sets, `None` deletes. In the order in which they came.
    own: Vec<([u8; 10], Option<Vec<u8>>)>,
    /// Positions whose ids are known no more, and still in the copy.
    expired: VecDeque<Position>,
    gathered_bytes: u64,
    messages: usize,
}

impl ApplyBuffer {
    /// An empty buffer, for a copy that still holds ids which are known no more.
    #[must_use]
    pub fn cleaning_up(expired: Vec<Position>) -> Self {
        Self { expired: expired.into(), ..Self::default() }
    }

    /// Adds what one message decided. `refusals` are the positions for which the copy keeps refusals.
    pub fn add(&mut self, applied: Applied, refusals: &mut BTreeSet<Position>) {
        let position = applied.position;
        if let Some(record) = &applied.record {
            refusals.insert(position);
            self.keep(reserved::VERDICTS, position, record.encode());
        }
        self.expired.extend(applied.expired_ids);
        if let Outcome::Batch(batch) = applied.outcome {
            let kept = kept_ids(&batch, applied.log_time_ms);
            if !kept.is_empty() {
                self.keep(reserved::IDS, position, kept.as_bytes().to_vec());
            }
            let writes = self.gather(&batch);
            self.gathered_bytes += writes * WRITE_BYTES + batch.batch().body().len() as u64;
            self.batches.push(batch);
        }
        self.messages += 1;
    }

    /// Looks at all that the accepted transactions write, once: gives how much that is, and keeps what it does to locks.
    fn gather(&mut self, batch: &AppliedBatch) -> u64 {
        let mut writes = 0;
        for (_, transaction, _) in batch.accepted() {
            let id = transaction.id();
            for write in transaction.writes() {
                writes += 1;
                self.locks.extend(reserved::lock_name(write.key).map(|name| LockWrite::of(name, write.value, id)));
            }
        }
        writes
    }

    fn keep(&mut self, prefix: [u8; 2], position: Position, value: Vec<u8>) {
        self.gathered_bytes += WRITE_BYTES + value.len() as u64;
        self.own.push((reserved::at(prefix, position), Some(value)));
    }

    /// Whether it should be written before more is added.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.gathered_bytes >= GATHERED_MAX_BYTES
    }

    /// Messages gathered.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// The keys that the gathered transactions write.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.batches
            .iter()
            .flat_map(|batch| batch.accepted())
            .flat_map(|(_, transaction, _)| transaction.writes())
            .map(|write| write.key)
    }

    /// Takes what the gathered transactions do to locks, in their order: to be told once that is written.
    #[must_use]
    pub fn take_locks(&mut self) -> Vec<LockWrite> {
        std::mem::take(&mut self.locks)
    }

    /// Writes everything, with the state after the last message, and empties the buffer.
    ///
    /// # Errors
    /// When the copy cannot be written; nothing was applied then, and the CSP must stop.
    pub async fn write(
        &mut self,
        copy: &Copy,
        state: &AppliedState,
        known: &KnownLog,
        refusals: &mut BTreeSet<Position>,
    ) -> Result<(), CopyError> {
        self.clean_up(state.horizon, refusals);
        let applied = encode_applied(state, known);
        let writes = self.writes(&applied);
        debug_assert!(needed(&writes) <= WRITE_BUFFER_MIN_BYTES, "a commit has to fit into every copy");
        copy.apply(writes).await?;
        self.batches.clear();
        self.own.clear();
        self.gathered_bytes = 0;
        self.messages = 0;
        Ok(())
    }

    /// Deletes some of what is needed no more. It comes behind what was gathered, of which it may already be a part.
    fn clean_up(&mut self, horizon: Position, refusals: &mut BTreeSet<Position>) {
        for _ in 0..CLEANED_MAX {
            let Some(first) = refusals.first().copied().filter(|first| *first <= horizon) else { break };
            refusals.remove(&first);
            self.own.push((reserved::at(reserved::VERDICTS, first), None));
        }
        let expired = self.expired.drain(..self.expired.len().min(CLEANED_MAX));
        self.own.extend(expired.map(|position| (reserved::at(reserved::IDS, position), None)));
    }
}

/// The write buffer that a commit needs.
fn needed(writes: &[KeyWrite<'_>]) -> u64 {
    let bytes = writes.iter().map(|(key, value)| (key.len() + value.map_or(0, <[u8]>::len)) as u64);
    arena_bytes(writes.len() as u64, bytes.sum())
}

impl ApplyBuffer {
    /// Everything in the order in which it is to be written: data, then what we keep ourselves, then the state.
    fn writes<'a>(&'a self, applied: &'a [u8]) -> Vec<KeyWrite<'a>> {
        let mut writes = Vec::with_capacity(256);
        if fault::breaks(Sabotage::ReverseEntries) {
            self.batches.iter().rev().for_each(|batch| add_writes(batch, &mut writes));
        } else {
            self.batches.iter().for_each(|batch| add_writes(batch, &mut writes));
        }
        writes.extend(self.own.iter().map(|(key, value)| (Cow::from(key.as_slice()), value.as_deref())));
        writes.push((Cow::Owned(reserved::APPLIED.to_vec()), Some(applied)));
        writes
    }
}

/// Adds what the accepted transactions of a batch write.
fn add_writes<'a>(batch: &'a AppliedBatch, writes: &mut Vec<KeyWrite<'a>>) {
    for (transaction, decision) in batch.iter() {
        if !decision.verdict.is_accepted() && !fault::breaks(Sabotage::ApplyRefused) {
            continue;
        }
        // The engine takes no empty key, and SurrealDB has none: a sender's mistake must not stop the copies.
        let keys = transaction.writes().filter(|write| !write.key.is_empty());
        writes.extend(keys.map(|write| (stamped(write.key, decision.stamp), write.value)));
        if transaction.id().is_some() && fault::breaks_now_and_then(Sabotage::SkipWrite) {
            writes.pop();
        }
    }
}

/// Bytes before the certifier's state: position and stamp, where the storage engine reads them.
const ENGINE_BYTES: usize = 16;
/// Announces what is known of the log, before the state: no version of a state begins with it.
const KNOWN_LOG: u8 = 0xF0;
/// Bytes of what is known of the log: when the stream was made, time and digest of the last message.
const KNOWN_LOG_BYTES: usize = 1 + 8 + 8 + 16;

/// The value of the applied state: position and stamp first, then what is known of the log, then the state.
fn encode_applied(state: &AppliedState, known: &KnownLog) -> Vec<u8> {
    let mut value = Vec::with_capacity(192);
    value.extend_from_slice(&state.position.to_be_bytes());
    value.extend_from_slice(&state.stamp.to_be_bytes());
    if let (Some(created_us), Some(mark)) = (known.created_us, known.mark) {
        value.push(KNOWN_LOG);
        value.extend_from_slice(&created_us.to_be_bytes());
        value.extend_from_slice(&mark.timestamp_us.to_be_bytes());
        value.extend_from_slice(&mark.digest.to_be_bytes());
    }
    value.extend_from_slice(&state.encode());
    value
}

/// The state in a stored value, and what was known of the log: little in a copy of an earlier version.
pub(super) fn decode_applied(value: &[u8]) -> Result<(AppliedState, KnownLog), crate::model::StateError> {
    let rest = value.get(ENGINE_BYTES..).unwrap_or_default();
    let known = rest.get(..KNOWN_LOG_BYTES).filter(|known| known.first() == Some(&KNOWN_LOG));
    let state = AppliedState::decode(rest.get(known.map_or(0, <[u8]>::len)..).unwrap_or_default())?;
    let mut log = KnownLog { position: state.position, created_us: None, mark: None };
    if let Some(known) = known {
        let number = |at: usize| known.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let digest = known.get(17..).and_then(|bytes| bytes.try_into().ok()).map(u128::from_be_bytes);
        log.created_us = number(1);
        log.mark = number(9).zip(digest).map(|(timestamp_us, digest)| LogMark { timestamp_us, digest });
    }
    Ok((state, log))
}

fn stamped(key: &[u8], stamp: Option<u64>) -> Cow<'_, [u8]> {
    match stamp {
        Some(stamp) if is_changefeed_placeholder(key) => {
            let mut key = key.to_vec();
            place_stamp(&mut key, stamp);
            Cow::Owned(key)
        }
        _ => Cow::Borrowed(key),
    }
}

fn kept_ids(batch: &AppliedBatch, log_time_ms: u64) -> KeptIds {
    let mut kept = KeptIds::new(log_time_ms);
    for (index, transaction, _) in batch.accepted() {
        if let Some(id) = transaction.id() {
            kept.push(KeptId { index, id, results: transaction.results().unwrap_or_default() });
        }
    }
    kept
}

#[cfg(test)]
mod tests;
