//! Explicit locks: acquire, release, list.
//!
//! A lock is a key of the database like any other, only in Holdfast's own corner of it. To acquire it is a transaction that
//! writes the key, certified as all are, under an id as all are: two that want it at once cannot both get it, a repeated request
//! gets the token of its first time, and every copy knows who holds what. Whoever waits does so here, in line (`locks`), and
//! counts as no load.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_schemas::message::{
    CspState, ErrorReply, HeldLock, LockAcquireReply, LockAcquireRequest, LockListReply, LockListRequest,
    LockReleaseReply, LockReleaseRequest,
};
use holdfast_schemas::{ErrorCode, Message as _, limits};
use holdfast_storage::request::{self as storage, Request};
use holdfast_storage::{CommitFailure, CopyError, WriteSet, reserved};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::answer::{Asked, answer_error, barrier, conclude, failure_reply, refusal};
use super::lock_sweep::sweep_soon;
use super::settle::{Named, id_reused, kept_at};
use super::update::{not_primary, primary_elsewhere};
use crate::committer::submit;
use crate::entry::outcome;
use crate::member::Member;
use crate::model::fingerprint::Fingerprint;
use crate::model::lock::{Decision, Lock, Wish, decide};
use crate::model::{Place, Position};

/// What a client wants of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// To hold it.
    Acquire,
    /// To give it back.
    Release,
    /// To know which are held.
    List,
}

impl Verb {
    /// All of them, by the last part of their subject.
    pub const ALL: [(&'static str, Self); 3] =
        [("acquire", Self::Acquire), ("release", Self::Release), ("list", Self::List)];
}

/// How often those who wait look whether this copy is still the one to wait at.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// What is kept with the id of a request for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "lock", rename_all = "snake_case")]
enum Kept {
    Acquired { name: String, token: u64, lease_ms: u64, expires_at_ms: u64 },
    Released { name: String },
}

impl Kept {
    /// In the shape of a transaction's results, a list, which is what is kept with ids.
    fn encode(&self) -> Bytes {
        serde_json::to_vec(&[self]).unwrap_or_default().into()
    }

    fn decode(results: &[u8]) -> Option<Self> {
        serde_json::from_slice::<[Self; 1]>(results).ok().map(|[kept]| kept)
    }
}

/// Carries out a request for a lock and answers it.
pub async fn lock(member: Arc<Member>, verb: Verb, asked: Asked) {
    match verb {
        Verb::Acquire => acquire(&member, asked).await,
        Verb::Release => release(&member, asked).await,
        Verb::List => list(&member, asked).await,
    }
}

/// Lets those who wait look around now and then, until the task is aborted.
pub async fn look_around(member: Arc<Member>) {
    let mut ticks = tokio::time::interval(LOOK_AROUND);
    loop {
        ticks.tick().await;
        if member.shared.locks.waiting() > 0 && must_leave(&member) {
            member.shared.locks.look_around();
        }
    }
}

/// Whether whoever waits for a lock has to wait at another copy.
fn must_leave(member: &Member) -> bool {
    member.state() != CspState::Available || primary_elsewhere(member).is_some()
}

async fn acquire(member: &Arc<Member>, asked: Asked) {
    let request = match LockAcquireRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, member, ErrorReply::from(&error)).await,
    };
    let fingerprint = acquire_fingerprint(&request);
    let locking =
        match Locking::begin(member, &asked, request.id.clone(), fingerprint, &request.name, request.deadline_ms) {
            Ok(locking) => locking,
            Err(refused) => return asked.give_back(member, refused).await,
        };
    let outcome = locking.acquire(&request).await;
    sweep_soon(member);
    conclude(&asked, member, outcome, locking.deadline).await;
}

async fn release(member: &Arc<Member>, asked: Asked) {
    let request = match LockReleaseRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, member, ErrorReply::from(&error)).await,
    };
    let fingerprint = Fingerprint::of("release").text(&request.name).number(request.token).finish();
    let locking =
        match Locking::begin(member, &asked, request.id.clone(), fingerprint, &request.name, request.deadline_ms) {
            Ok(locking) => locking,
            Err(refused) => return asked.give_back(member, refused).await,
        };
    let outcome = locking.release(request.token).await;
    conclude(&asked, member, outcome, locking.deadline).await;
}

/// What an `acquire` asks for: two that differ only in how they wait ask for the same.
fn acquire_fingerprint(request: &LockAcquireRequest) -> u64 {
    let fingerprint = Fingerprint::of("acquire").text(&request.name).number(request.lease_ms);
    let fingerprint = request.token.iter().fold(fingerprint, |fingerprint, token| fingerprint.number(*token));
    request.holder.iter().fold(fingerprint, |fingerprint, holder| fingerprint.text(holder)).finish()
}

/// One request for one lock.
struct Locking<'a> {
    member: &'a Arc<Member>,
    id: String,
    fingerprint: u64,
    /// Where this copy was when it came.
    since: Position,
    name: &'a str,
    deadline: Instant,
}

/// What an attempt came to.
enum Attempt {
    Done(Vec<u8>),
    /// Somebody else holds it.
    Held {
        free_in_ms: u64,
    },
    /// It is not held under the token.
    Lost,
    /// Another transaction came between.
    Again,
}

impl<'a> Locking<'a> {
    fn begin(
        member: &'a Arc<Member>,
        asked: &Asked,
        id: Option<String>,
        fingerprint: u64,
        name: &'a str,
        deadline_ms: Option<u64>,
    ) -> Result<Self, ErrorReply> {
        let id = id.or_else(|| asked.routed_id()).unwrap_or_else(|| ulid::Ulid::generate().to_string());
        let deadline = asked.deadline(member, deadline_ms);
        let refused = refusal(member, &id, deadline)
            .or_else(|| primary_elsewhere(member).map(|primary| not_primary(&id, Some(&primary))));
        match refused {
            Some(refused) => Err(refused),
            None => Ok(Self { member, id, fingerprint, since: member.shared.view.position(), name, deadline }),
        }
    }

    async fn acquire(&self, request: &LockAcquireRequest) -> Result<Vec<u8>, ErrorReply> {
        if request.wait && request.token.is_none() {
            self.acquire_in_turn(request).await
        } else {
            self.acquire_at_once(request).await
        }
    }

    /// Waits in line. Another attempt under its id may get the lock meanwhile, or have got it before, which a copy that lags learns
    /// late: that is its outcome, and takes no turn, or it would wait for the lock that it holds itself.
    async fn acquire_in_turn(&self, request: &LockAcquireRequest) -> Result<Vec<u8>, ErrorReply> {
        let mut place = self.member.shared.locks.line_up(self.name, &self.id);
        loop {
            let mut until = self.deadline;
            if place.is_first() {
                let _taken = self.member.take_request();
                match self.try_acquire(request).await? {
                    Attempt::Done(reply) => return Ok(reply),
                    Attempt::Again => continue,
                    Attempt::Held { free_in_ms } => {
                        until = until.min(Instant::now() + Duration::from_millis(free_in_ms));
                    }
                    Attempt::Lost => return Err(self.lost(request.token.unwrap_or_default())),
                }
            } else if let Some(first) = self.first_outcome().await {
                return first;
            }
            place.news(until).await;
            if Instant::now() >= self.deadline || must_leave(self.member) {
                return self.stop_waiting().await;
            }
        }
    }

    /// Says at once whether it is to be had, or goes on.
    async fn acquire_at_once(&self, request: &LockAcquireRequest) -> Result<Vec<u8>, ErrorReply> {
        let _taken = self.member.take_request();
        let mut is_behind_barrier = false;
        loop {
            match self.try_acquire(request).await? {
                Attempt::Done(reply) => return Ok(reply),
                Attempt::Again => {}
                Attempt::Held { free_in_ms } if is_behind_barrier => return Err(self.held(free_in_ms)),
                Attempt::Lost if is_behind_barrier => return Err(self.lost(request.token.unwrap_or_default())),
                // This copy may lag, so it must not refuse by what it knows.
                Attempt::Held { .. } | Attempt::Lost => {
                    self.pass_barrier().await?;
                    is_behind_barrier = true;
                }
            }
        }
    }

    async fn try_acquire(&self, request: &LockAcquireRequest) -> Result<Attempt, ErrorReply> {
        if let Some(first) = self.first_outcome().await {
            return first.map(Attempt::Done);
        }
        let (position, held) = self.look().await?;
        let wish = request.token.map_or(Wish::Acquire, Wish::Renew);
        let now_ms = self.member.shared.view.log_now_ms();
        match decide(held.as_ref(), wish, request.lease_ms, request.holder.clone(), position, now_ms) {
            Decision::Held { free_in_ms } => Ok(Attempt::Held { free_in_ms }),
            Decision::Lost => Ok(Attempt::Lost),
            Decision::Grant(lock) => {
                if wish == Wish::Acquire {
                    self.check_room(now_ms)?;
                }
                let kept = Kept::Acquired {
                    name: self.name.to_owned(),
                    token: lock.token,
                    lease_ms: request.lease_ms,
                    expires_at_ms: lock.expires_at_ms,
                };
                self.commit(position, Some(lock.encode()), kept).await
            }
        }
    }

    async fn release(&self, token: u64) -> Result<Vec<u8>, ErrorReply> {
        let mut is_behind_barrier = false;
        loop {
            let _taken = self.member.take_request();
            if let Some(first) = self.first_outcome().await {
                return first;
            }
            let (position, held) = self.look().await?;
            if held.is_some_and(|held| held.token == token) {
                let kept = Kept::Released { name: self.name.to_owned() };
                match self.commit(position, None, kept).await? {
                    Attempt::Done(reply) => return Ok(reply),
                    _ => continue,
                }
            }
            if is_behind_barrier {
                return Ok(self.released(position, false));
            }
            self.pass_barrier().await?;
            is_behind_barrier = true;
        }
    }

    /// The lock as this copy shows it, and where the copy is.
    async fn look(&self) -> Result<(Position, Option<Lock>), ErrorReply> {
        let looked = async {
            let snapshot = self.member.copy.snapshot().await?;
            let (position, _) = snapshot.applied().await?;
            let value = snapshot.get(&reserved::lock(self.name)).await?;
            snapshot.close().await;
            Ok((position, value.as_deref().and_then(Lock::decode)))
        };
        looked.await.map_err(|error: CopyError| self.internal(&error))
    }

    /// Writes the lock, or removes it, unless it was written since `snapshot`.
    async fn commit(&self, snapshot: Position, value: Option<Vec<u8>>, kept: Kept) -> Result<Attempt, ErrorReply> {
        let named = Named { id: &self.id, fingerprint: self.fingerprint, since: self.since };
        let request = Request::on(named.terms());
        request.set_results(kept.encode());
        let write_set = WriteSet {
            snapshot,
            writes: vec![(reserved::lock(self.name), value)],
            // What it read it writes, and that is certified.
            certified_reads: true,
            request: Some(request),
            ..WriteSet::default()
        };
        let bound = self.deadline + Duration::from_millis(20);
        let committed = tokio::time::timeout_at(bound, submit(Arc::clone(&self.member.gateway), write_set)).await;
        match committed {
            Ok(Ok(committed)) => Ok(Attempt::Done(self.reply(&kept, committed.position))),
            Ok(Err(failure)) if is_looked_at_again(&failure, Instant::now() < self.deadline) => Ok(Attempt::Again),
            Ok(Err(CommitFailure::NotPrimary)) => Err(not_primary(&self.id, None)),
            Ok(Err(failure)) => Err(failure_reply(&self.id, &failure)),
            Err(_) => {
                let unknown = CommitFailure::OutcomeUnknown("the log did not answer by the deadline".to_owned());
                Err(failure_reply(&self.id, &unknown))
            }
        }
    }

    /// The answer that the first request with this id got, if there was one.
    async fn first_outcome(&self) -> Option<Result<Vec<u8>, ErrorReply>> {
        let place: Place = self.member.shared.find_id(&self.id)?;
        let kept = kept_at(self.member, place).await?;
        let (fingerprint, results) = outcome::split(&kept);
        let is_same = fingerprint.is_none_or(|known| known == self.fingerprint);
        Some(match Kept::decode(results).filter(|_| is_same) {
            Some(kept) => Ok(self.reply(&kept, place.position)),
            None => Err(id_reused(&self.id)),
        })
    }

    fn reply(&self, kept: &Kept, position: Position) -> Vec<u8> {
        match kept {
            Kept::Acquired { name, token, lease_ms, expires_at_ms } => LockAcquireReply {
                id: self.id.clone(),
                csp: self.member.identity.csp.clone(),
                name: name.clone(),
                token: *token,
                lease_ms: *lease_ms,
                expires_at_ms: *expires_at_ms,
                position,
            }
            .encode(),
            Kept::Released { .. } => self.released(position, true),
        }
    }

    fn released(&self, position: Position, released: bool) -> Vec<u8> {
        let csp = self.member.identity.csp.clone();
        LockReleaseReply { id: self.id.clone(), csp, name: self.name.to_owned(), position, released }.encode()
    }

    /// The number of locks that are held is bounded, roughly: those who come at once may exceed it by their number.
    fn check_room(&self, now_ms: u64) -> Result<(), ErrorReply> {
        let held = self.member.shared.locks.held(now_ms);
        if held < limits::MAX_LOCKS {
            return Ok(());
        }
        let message = format!("the group holds {held} locks, more than may be: release some, or send it again later");
        Err(self.error(ErrorCode::Overloaded, message))
    }

    async fn pass_barrier(&self) -> Result<(), ErrorReply> {
        if barrier(self.member, self.deadline).await {
            return match primary_elsewhere(self.member) {
                Some(primary) => Err(not_primary(&self.id, Some(&primary))),
                None => Ok(()),
            };
        }
        let message = "the log did not answer in time, and nothing was done: send it again";
        Err(self.error(ErrorCode::DeadlineExceeded, message))
    }

    /// The answer to somebody who waits no longer, at its deadline or because this copy is not the one to wait at.
    async fn stop_waiting(&self) -> Result<Vec<u8>, ErrorReply> {
        if let Some(first) = self.first_outcome().await {
            return first;
        }
        if must_leave(self.member) {
            return Err(self.elsewhere());
        }
        let (_, held) = self.look().await?;
        let now_ms = self.member.shared.view.log_now_ms();
        Err(self.held(held.map_or(0, |held| held.expires_at_ms.saturating_sub(now_ms))))
    }

    fn elsewhere(&self) -> ErrorReply {
        match primary_elsewhere(self.member) {
            Some(primary) => not_primary(&self.id, Some(&primary)),
            None => self.error(ErrorCode::Unavailable, "this CSP is leaving: send the request again"),
        }
    }

    fn held(&self, free_in_ms: u64) -> ErrorReply {
        let message = format!("the lock {:?} is held, and nothing was done: ask again, with more time", self.name);
        let mut reply = self.error(ErrorCode::LockHeld, message);
        reply.error.retry_after_ms = (free_in_ms > 0).then_some(free_in_ms);
        reply
    }

    fn lost(&self, token: u64) -> ErrorReply {
        failure_reply(&self.id, &CommitFailure::LockLost { name: self.name.to_owned(), token })
    }

    fn internal(&self, error: &CopyError) -> ErrorReply {
        self.error(ErrorCode::Internal, holdfast_foundation::chain(error))
    }

    fn error(&self, code: ErrorCode, message: impl Into<String>) -> ErrorReply {
        ErrorReply::new(Some(self.id.clone()), code, message)
    }
}

/// The first of these locks that is not held, as far as this copy knows.
///
/// # Errors
/// When the copy cannot be read.
pub(super) async fn first_lost<'a>(
    member: &Member,
    locks: &'a [storage::HeldLock],
) -> Result<Option<&'a storage::HeldLock>, CopyError> {
    let snapshot = member.copy.snapshot().await?;
    for lock in locks {
        if !lock.is_held(snapshot.get(&lock.key()).await?.as_deref()) {
            return Ok(Some(lock));
        }
    }
    snapshot.close().await;
    Ok(None)
}

/// All locks of a view of the copy, in pages.
async fn for_each(member: &Member, mut take: impl FnMut(&str, &[u8])) -> Result<Position, CopyError> {
    let snapshot = member.copy.snapshot().await?;
    let (position, _) = snapshot.applied().await?;
    let mut start = reserved::LOCKS.to_vec();
    loop {
        let page = snapshot.page(&start, &reserved::LOCKS_END).await?;
        let Some((last, _)) = page.last() else { break };
        start = [last.as_slice(), &[0]].concat();
        page.iter().for_each(|(key, value)| reserved::lock_name(key).into_iter().for_each(|name| take(name, value)));
    }
    snapshot.close().await;
    Ok(position)
}

/// Whether what failed is no answer yet. An id that was committed before has its outcome, and that is the answer at any time: told
/// as a failure behind the deadline, a lock would be held of which nobody has the token.
fn is_looked_at_again(failure: &CommitFailure, is_in_time: bool) -> bool {
    match failure {
        CommitFailure::Duplicate { .. } => true,
        CommitFailure::Conflict { .. } | CommitFailure::TooOld => is_in_time,
        _ => false,
    }
}

/// What a lock takes in a list, beside its name and its holder, in which each byte may have to be escaped.
const LISTED_BYTES: usize = 160;

async fn list(member: &Arc<Member>, asked: Asked) {
    let _taken = member.take_request();
    let request = match LockListRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, member, ErrorReply::from(&error)).await,
    };
    let id = request.id.clone().or_else(|| asked.routed_id()).unwrap_or_else(|| ulid::Ulid::generate().to_string());
    let deadline = asked.deadline(member, request.deadline_ms);
    if let Some(refused) = refusal(member, &id, deadline) {
        return asked.give_back(member, refused).await;
    }
    let now_ms = member.shared.view.log_now_ms();
    let mut locks = Vec::new();
    let (mut more, mut bytes) = (false, 0);
    let gathered = for_each(member, |name, value| {
        let Some(lock) = listed(name, value, now_ms) else { return };
        bytes += LISTED_BYTES + 2 * (lock.name.len() + lock.holder.as_deref().map_or(0, str::len));
        if more || locks.len() >= limits::MAX_LOCKS_LISTED || bytes > member.results_bytes_max() {
            more = true;
        } else {
            locks.push(lock);
        }
    });
    let outcome = match gathered.await {
        Ok(position) => Ok(LockListReply { id, csp: member.identity.csp.clone(), position, locks, more }.encode()),
        Err(error) => Err(ErrorReply::new(Some(id), ErrorCode::Internal, holdfast_foundation::chain(&error))),
    };
    conclude(&asked, member, outcome, deadline).await;
}

/// One that is held.
fn listed(name: &str, value: &[u8], now_ms: u64) -> Option<HeldLock> {
    let lock = Lock::decode(value).filter(|lock| !lock.is_over(now_ms))?;
    let Lock { token, expires_at_ms, holder } = lock;
    let remaining_ms = expires_at_ms.saturating_sub(now_ms);
    Some(HeldLock { name: name.to_owned(), token, holder, expires_at_ms, remaining_ms })
}

#[cfg(test)]
mod tests {
    use holdfast_storage::Committed;

    use super::*;

    #[test]
    fn the_outcome_of_an_earlier_attempt_is_told_behind_the_deadline_too() {
        let duplicate = CommitFailure::Duplicate { first: Committed { position: 7, index: 0 } };
        let conflict = CommitFailure::Conflict { position: 7 };
        assert!(is_looked_at_again(&duplicate, true) && is_looked_at_again(&duplicate, false));
        assert!(is_looked_at_again(&conflict, true) && !is_looked_at_again(&conflict, false));
        assert!(!is_looked_at_again(&CommitFailure::NotPrimary, true));
    }
}
