//! Takes up a copy where it stopped: the state that it stored, and the certifier's memory, exactly as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream;
use holdfast_schemas::ErrorCode;
use holdfast_storage::{Copy, CopyError, Snapshot, reserved};

use super::buffer::decode_applied;
use super::kept_ids::KeptIds;
use crate::log::{LogError, Subscription};
use crate::model::lock_table::{LockTable, LockWrite};
use crate::model::{
    AppliedState, Broken, Certifier, KnownLog, Place, Position, Rebuild, Record, RecordError, StateError,
};

/// How long the log may deliver nothing of what it is known to hold.
const SILENCE: Duration = Duration::from_secs(2);

/// A copy could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The copy cannot be read.
    #[error("reading the copy failed")]
    Copy(#[from] CopyError),
    /// What the copy stores about itself cannot be read.
    #[error("the state of the copy cannot be read")]
    State(#[from] StateError),
    /// The same, for a refusal.
    #[error("the copy's record of refusals cannot be read")]
    Record(#[from] RecordError),
    /// The same, for kept ids.
    #[error("the copy's kept ids cannot be read")]
    Ids,
    /// The log cannot be read, or does not hold what is needed.
    #[error("the log cannot be read")]
    Log(#[from] LogError),
    /// The log and the copy's state do not fit together.
    #[error("the log and the copy's state do not fit together")]
    Broken(#[from] Broken),
}

impl RestoreError {
    /// Whether it may help to try again later; otherwise the copy and the log do not belong together.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Log(cause) if cause.is_transient())
    }

    /// Whether there is no log at all.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Log(LogError::Missing { .. }))
    }

    /// The code by which the copy refuses updates, when it and the log do not belong together; none when it cannot be read.
    #[must_use]
    pub fn parting_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Log(cause) => Some(cause.parting_code().unwrap_or(ErrorCode::LogMismatch)),
            // The log is the right one. A copy with files of different days answers nothing: nobody knows what it holds.
            Self::Broken(Broken::Kept { .. }) => None,
            Self::Broken(_) => Some(ErrorCode::LogMismatch),
            Self::Copy(_) | Self::State(_) | Self::Record(_) | Self::Ids => None,
        }
    }
}

/// A copy, ready to apply what follows its position.
pub struct Restored {
    /// Decides about what follows.
    pub certifier: Certifier,
    /// Positions for which the copy keeps refusals.
    pub refusals: BTreeSet<Position>,
    /// Positions whose ids are known no more, and still in the copy.
    pub expired: Vec<Position>,
    /// The locks that have a key.
    pub locks: LockTable,
    /// What the copy knows of its log.
    pub known: KnownLog,
}

impl Restored {
    /// An empty copy.
    #[must_use]
    pub fn empty(storage_version: u16) -> Self {
        Self::at(Certifier::new(storage_version), LockTable::default(), KnownLog::default())
    }

    /// A copy as it stands, which applies nothing: its certifier has no memory.
    ///
    /// # Errors
    /// When the copy cannot be read.
    pub async fn standing_still(copy: &Copy, storage_version: u16) -> Result<Self, RestoreError> {
        let snapshot = copy.snapshot().await?;
        let (_, stored) = snapshot.applied().await?;
        let locks = read_locks(&snapshot).await?;
        snapshot.close().await;
        let (state, known) = match stored {
            Some(stored) => decode_applied(&stored)?,
            None => (AppliedState::genesis(), KnownLog::default()),
        };
        Ok(Self::at(Certifier::standing_still(state, storage_version), locks, known))
    }

    fn at(certifier: Certifier, locks: LockTable, known: KnownLog) -> Self {
        Self { certifier, refusals: BTreeSet::new(), expired: Vec::new(), locks, known }
    }
}

/// Reads what `copy` stored and goes through the part of the log that the certifier remembers.
///
/// # Errors
/// See [`RestoreError`].
pub async fn restore(
    copy: &Copy,
    context: &jetstream::Context,
    stream: &str,
    storage_version: u16,
) -> Result<Restored, RestoreError> {
    let snapshot = copy.snapshot().await?;
    let (_, stored) = snapshot.applied().await?;
    let Some(stored) = stored else {
        snapshot.close().await;
        return Ok(Restored::empty(storage_version));
    };
    let (state, known) = decode_applied(&stored)?;
    let records = read_records(&snapshot).await?;
    let mut rebuild = Rebuild::new(state, storage_version);
    let expired = give_back_ids(&snapshot, &mut rebuild).await?;
    let locks = read_locks(&snapshot).await?;
    snapshot.close().await;
    replay(&mut rebuild, &known, &records, context, stream).await?;
    let (certifier, refusals) = (rebuild.finish()?, records.into_keys().collect());
    Ok(Restored { certifier, refusals, expired, locks, known })
}

async fn replay(
    rebuild: &mut Rebuild,
    known: &KnownLog,
    records: &BTreeMap<Position, Record>,
    context: &jetstream::Context,
    stream: &str,
) -> Result<(), RestoreError> {
    let Some(first) = rebuild.next_position() else { return Ok(()) };
    let mut subscription = Subscription::open(context, stream, first, known).await?;
    while rebuild.next_position().is_some() {
        // What is asked for is in the log, so silence means that the subscription was lost.
        let messages = tokio::time::timeout(SILENCE, subscription.next()).await.map_err(|_| LogError::Silent)??;
        for message in messages {
            if rebuild.next_position() == Some(message.position) {
                let record = records.get(&message.position);
                rebuild.replay(message, record)?;
            }
        }
    }
    Ok(())
}

async fn read_records(snapshot: &Snapshot) -> Result<BTreeMap<Position, Record>, RestoreError> {
    let mut records = BTreeMap::new();
    let mut pages = Pages::of(reserved::VERDICTS);
    while let Some(page) = pages.next(snapshot).await? {
        for (position, value) in page {
            records.insert(position, Record::decode(&value)?);
        }
    }
    Ok(records)
}

/// Gives the positions whose ids have expired.
async fn give_back_ids(snapshot: &Snapshot, rebuild: &mut Rebuild) -> Result<Vec<Position>, RestoreError> {
    let mut expired = Vec::new();
    let mut pages = Pages::of(reserved::IDS);
    while let Some(page) = pages.next(snapshot).await? {
        for (position, value) in page {
            let (log_time_ms, ids) = KeptIds::decode(&value).ok_or(RestoreError::Ids)?;
            let mut is_known = false;
            for kept in ids {
                is_known |= rebuild.remember_id(Place { position, index: kept.index }, kept.id, log_time_ms);
            }
            if !is_known {
                expired.push(position);
            }
        }
    }
    Ok(expired)
}

async fn read_locks(snapshot: &Snapshot) -> Result<LockTable, CopyError> {
    let mut locks = LockTable::default();
    let mut start = reserved::LOCKS.to_vec();
    loop {
        let page = snapshot.page(&start, &reserved::LOCKS_END).await?;
        let Some((last, _)) = page.last() else { return Ok(locks) };
        start = [last.as_slice(), &[0]].concat();
        let writes =
            page.iter().filter_map(|(key, value)| Some(LockWrite::of(reserved::lock_name(key)?, Some(value), None)));
        writes.for_each(|write| locks.write(&write));
    }
}

/// Walks over the values that are kept by position under one prefix.
struct Pages {
    start: Vec<u8>,
    end: Vec<u8>,
}

impl Pages {
    fn of(prefix: [u8; 2]) -> Self {
        let [first, second] = prefix;
        Self { start: prefix.to_vec(), end: vec![first, second + 1] }
    }

    async fn next(&mut self, snapshot: &Snapshot) -> Result<Option<Vec<(Position, Vec<u8>)>>, CopyError> {
        let page = snapshot.page(&self.start, &self.end).await?;
        let Some((last, _)) = page.last() else { return Ok(None) };
        self.start = [last.as_slice(), &[0]].concat();
        let position_of = |key: &[u8]| key.get(2..10).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        Ok(Some(page.into_iter().filter_map(|(key, value)| Some((position_of(&key)?, value))).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_whose_own_files_disagree_is_set_aside_and_the_log_is_not_blamed() {
        let kept = Broken::Kept { position: 7, reason: "an id of a later position" };
        assert_eq!(RestoreError::from(kept).parting_code(), None);
        let replay = Broken::Replay { position: 7, reason: "the chain differs" };
        assert_eq!(RestoreError::from(replay).parting_code(), Some(ErrorCode::LogMismatch));
    }
}
