//! Removes the keys of locks whose lease is over, so that those which nobody gave back do not pile up.
//!
//! Whoever acquires a lock looks whether many have piled up, and has them removed in the background, some at a time. That is a
//! transaction like any other: that a lease is over is read from the copy, and if the lock was renewed or taken since, the
//! transaction is refused. A few are left alone, so that a holder that is a little late can still renew.

use std::sync::Arc;
use std::time::Duration;

use holdfast_storage::{CommitFailure, CopyError, WriteSet, reserved};
use tracing::warn;

use crate::committer::submit;
use crate::locks::Sweeping;
use crate::member::Member;
use crate::model::lock::Lock;

/// As many may stay.
const LEFT_ALONE: usize = 64;
/// Most that one transaction removes.
const BATCH_MAX: usize = 256;
/// Longest pause behind a transaction that was refused: at several peers, all want to remove the same.
const PAUSE_MAX_US: u64 = 20_000;

/// Has what piled up removed in the background, unless that is going on already.
pub(super) fn sweep_soon(member: &Arc<Member>) {
    let locks = &member.shared.locks;
    if locks.over(member.shared.view.log_now_ms()) > LEFT_ALONE
        && let Some(sweeping) = locks.begin_to_sweep()
    {
        tokio::spawn(sweep(Arc::clone(member), sweeping));
    }
}

/// Removes locks until few are left, or this copy cannot.
async fn sweep(member: Arc<Member>, _sweeping: Sweeping) {
    let view = &member.shared.view;
    loop {
        let now_ms = view.log_now_ms();
        if member.shared.locks.over(now_ms) <= LEFT_ALONE {
            return;
        }
        let removal = match removal(&member, now_ms).await {
            // Nothing is left of what was over: the table is about to learn of it.
            Ok(removal) if removal.is_empty() => return,
            Ok(removal) => removal,
            Err(cause) => {
                warn!(csp = member.identity.csp, error = %cause, "locks whose lease is over could not be looked at");
                return;
            }
        };
        match submit(Arc::clone(&member.gateway), removal).await {
            Ok(_) => {}
            Err(CommitFailure::Conflict { position }) => {
                let seed = xxhash_rust::xxh3::xxh3_64_with_seed(member.identity.csp.as_bytes(), position);
                tokio::time::sleep(Duration::from_micros(seed % PAUSE_MAX_US)).await;
            }
            // Whoever acquires the next lock here begins again.
            Err(_) => return,
        }
    }
}

/// The removal of some locks whose lease is over, as the copy shows them.
async fn removal(member: &Member, now_ms: u64) -> Result<WriteSet, CopyError> {
    let names = member.shared.locks.oldest_over(BATCH_MAX, now_ms);
    let snapshot = member.copy.snapshot().await?;
    let (position, _) = snapshot.applied().await?;
    let mut writes = Vec::with_capacity(names.len());
    for name in names {
        let key = reserved::lock(&name);
        let lock = snapshot.get(&key).await?.as_deref().and_then(Lock::decode);
        if lock.is_some_and(|lock| lock.is_over(now_ms)) {
            writes.push((key, None));
        }
    }
    snapshot.close().await;
    writes.sort_unstable();
    // What it read it writes, and that is certified.
    Ok(WriteSet { snapshot: position, writes, certified_reads: true, ..WriteSet::default() })
}
