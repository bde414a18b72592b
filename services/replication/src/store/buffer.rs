//! Gathers what several messages of the log decided, to be written in one inner commit.
//!
//! Invariant: data, ids, refusals and the applied state of the last message are written together or not at all.

use std::borrow::Cow;
use std::collections::BTreeSet;

use holdfast_storage::{Copy, CopyError, KeyWrite, is_changefeed_placeholder, place_stamp, reserved};

use super::kept_ids::{KeptId, KeptIds};
use crate::model::{Applied, AppliedBatch, AppliedState, Outcome, Position};

/// What is to be written.
#[derive(Debug, Default)]
pub struct ApplyBuffer {
    batches: Vec<AppliedBatch>,
    /// Keys of our own: `Some` sets, `None` deletes. In the order in which they came.
    own: Vec<([u8; 10], Option<Vec<u8>>)>,
    bytes: usize,
    messages: usize,
}

impl ApplyBuffer {
    /// Adds what one message decided. `refusals` are the positions for which the copy keeps refusals.
    pub fn add(&mut self, applied: Applied, refusals: &mut BTreeSet<Position>) {
        let position = applied.position;
        if let Some(record) = &applied.record {
            refusals.insert(position);
            self.own.push((reserved::at(reserved::VERDICTS, position), Some(record.encode())));
        }
        self.own.extend(applied.expired_ids.iter().map(|expired| (reserved::at(reserved::IDS, *expired), None)));
        if let Outcome::Batch(batch) = applied.outcome {
            let kept = kept_ids(&batch, applied.log_time_ms);
            if !kept.is_empty() {
                self.own.push((reserved::at(reserved::IDS, position), Some(kept.as_bytes().to_vec())));
            }
            self.bytes += batch.batch().body().len();
            self.batches.push(batch);
        }
        self.messages += 1;
    }

    /// Bytes of transactions gathered.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
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

    /// Writes everything, with the state after the last message, and empties the buffer.
    ///
    /// # Errors
    /// When the copy cannot be written; nothing was applied then, and the CSP must stop.
    pub async fn write(
        &mut self,
        copy: &Copy,
        state: &AppliedState,
        refusals: &mut BTreeSet<Position>,
    ) -> Result<(), CopyError> {
        while let Some(first) = refusals.first().copied().filter(|first| *first <= state.horizon) {
            refusals.remove(&first);
            self.own.push((reserved::at(reserved::VERDICTS, first), None));
        }
        let applied = encode_applied(state);
        let writes = self.writes(&applied);
        copy.apply(writes).await?;
        self.batches.clear();
        self.own.clear();
        self.bytes = 0;
        self.messages = 0;
        Ok(())
    }
}

impl ApplyBuffer {
    /// Everything in the order in which it is to be written: data, then what we keep ourselves, then the state.
    fn writes<'a>(&'a self, applied: &'a [u8]) -> Vec<KeyWrite<'a>> {
        let mut writes = Vec::with_capacity(256);
        for batch in &self.batches {
            for (_, transaction, stamp) in batch.accepted() {
                writes.extend(transaction.writes().map(|write| (stamped(write.key, stamp), write.value)));
            }
        }
        writes.extend(self.own.iter().map(|(key, value)| (Cow::from(key.as_slice()), value.as_deref())));
        writes.push((Cow::Owned(reserved::APPLIED.to_vec()), Some(applied)));
        writes
    }
}

/// The value of the applied state: position and stamp first, where the storage engine reads them, then the rest.
fn encode_applied(state: &AppliedState) -> Vec<u8> {
    let mut value = Vec::with_capacity(160);
    value.extend_from_slice(&state.position.to_be_bytes());
    value.extend_from_slice(&state.stamp.to_be_bytes());
    value.extend_from_slice(&state.encode());
    value
}

/// The state in a stored value.
pub(super) fn decode_applied(value: &[u8]) -> Result<AppliedState, crate::model::StateError> {
    AppliedState::decode(value.get(16..).unwrap_or_default())
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
