//! An update: one transaction, carried out once.
//!
//! A repeated id gets the first outcome. It is looked up before the statements run, and again, behind everything that was
//! acknowledged so far, when they fail: a copy that lags would otherwise fail what another one has already done.
//!
//! What was certified has its place in the log, and is certain. What wrote nothing was not certified: a statement that
//! failed, or a condition that found nothing, may have done so only because this copy had not applied yet what another one
//! acknowledged, or because it is not the primary any more and does not know. So such an outcome is told only behind a barrier.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::HeaderMap;
use holdfast_datastore::{Call, StatementError};
use holdfast_schemas::message::{ErrorReply, LockToken, UpdateRequest, update_reply_bytes};
use holdfast_schemas::{ErrorCode, Message as _, header, subject};
use holdfast_storage::request::{HeldLock, Request};
use holdfast_storage::{CommitFailure, reserved};
use tokio::time::Instant;

use super::answer::{Asked, answer_error, barrier, conclude, error_reply, refusal};
use crate::member::Member;
use crate::model::{Place, Replication};
use crate::store::KeptIds;

/// Times that a request is handed on when it reaches a copy that is no primary (any more).
const HANDED_ON_MAX: u32 = 3;
/// Longest pause before a transaction that lost is run again.
const BACK_OFF_MAX_MS: u64 = 40;

/// Carries out an update and answers it.
pub async fn update(member: Arc<Member>, asked: Asked) {
    let _taken = member.take_request();
    let request = match UpdateRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, &member, ErrorReply::from(&error)).await,
    };
    let asked_before = request.id.is_some() || asked.header(header::DISPOSITION) == Some(header::DISPOSITION_RECOVERY);
    let id = request.id.clone().or_else(|| asked.routed_id()).unwrap_or_else(|| ulid::Ulid::generate().to_string());
    let deadline = asked.deadline(request.deadline_ms);
    if let Some(refusal) = refusal(&member, &id, deadline) {
        return asked.give_back(&member, refusal).await;
    }
    if let Some(primary) = primary_elsewhere(&member) {
        return hand_on(&member, asked, &primary, &id).await;
    }
    let update = Update { member: &member, request, id, deadline, asked_before };
    let began = Instant::now();
    let outcome = update.run().await;
    member.counts.update_time.note(began.elapsed());
    member.counts.updates.fetch_add(1, Ordering::Relaxed);
    match (&outcome, primary_elsewhere(&member)) {
        (Err(error), Some(primary)) if error.error.code == ErrorCode::NotPrimary => {
            hand_on(&member, asked, &primary, &update.id).await;
        }
        _ => conclude(&asked, &member, outcome, deadline).await,
    }
}

/// The primary, when it is another CSP.
pub(super) fn primary_elsewhere(member: &Member) -> Option<String> {
    member.shared.view.with(|view| match (&view.replication, &view.primary) {
        (Replication::Primary, Some(primary)) if *primary != member.identity.csp => Some(primary.clone()),
        _ => None,
    })
}

/// The request is for another CSP: execution gets it back; what came directly is handed on to the primary, with the client's
/// own reply subject.
async fn hand_on(member: &Member, asked: Asked, primary: &str, id: &str) {
    let attempt = asked.header(header::ATTEMPT).and_then(|attempt| attempt.parse::<u32>().ok()).unwrap_or(1);
    let takes_it_back = asked.route.is_some() || attempt > HANDED_ON_MAX;
    let Some(reply) = asked.reply.clone().filter(|_| !takes_it_back) else {
        return asked.give_back(member, not_primary(id, Some(primary))).await;
    };
    let mut headers: HeaderMap = asked.headers.clone();
    headers.insert(header::ATTEMPT, (attempt + 1).to_string().as_str());
    headers.insert(header::ID, id);
    let to = subject::csp_update(&member.identity.group, primary);
    if let Err(cause) = member.client.publish_with_reply_and_headers(to, reply, headers, asked.payload.clone()).await {
        let message = format!("the request could not be handed on ({cause}): send it again");
        answer_error(&asked, member, ErrorReply::new(Some(id.to_owned()), ErrorCode::Unavailable, message)).await;
    }
}

pub(super) fn not_primary(id: &str, primary: Option<&str>) -> ErrorReply {
    let who = primary.map_or_else(|| "another one is".to_owned(), |primary| format!("{primary} is"));
    let message = format!("this CSP is not the primary, {who}: send the request again");
    ErrorReply::new(Some(id.to_owned()), ErrorCode::NotPrimary, message)
}

/// What a barrier told about a copy that had given an outcome before it.
enum Standing {
    /// Whatever was acknowledged before the outcome was acknowledged by this copy, and so seen.
    Current,
    /// Another copy may have acknowledged something in between.
    MayHaveLagged,
    /// Another copy is the primary now.
    Deposed,
}

struct Update<'a> {
    member: &'a Arc<Member>,
    request: UpdateRequest,
    id: String,
    deadline: Instant,
    /// Whether the id may have been used before.
    asked_before: bool,
}

impl Update<'_> {
    async fn run(&self) -> Result<Vec<u8>, ErrorReply> {
        if self.asked_before
            && let Some(first) = self.first_outcome().await
        {
            return Ok(first);
        }
        let mut attempt = 0;
        let mut is_behind_barrier = false;
        loop {
            attempt += 1;
            let request = Request::under_locks(Some(self.id.clone()), held_locks(&self.request.locks));
            let epoch = self.member.shared.view.with(|view| view.epoch);
            let outcome = self.attempt(&request).await;
            if matches!(request.failure(), Some(CommitFailure::Duplicate { .. }))
                && let Some(first) = self.first_outcome().await
            {
                return Ok(first);
            }
            if is_conflict(&request, &outcome) {
                self.member.counts.conflicts.fetch_add(1, Ordering::Relaxed);
                let pause = back_off(attempt, &self.id);
                if Instant::now() + pause < self.deadline {
                    tokio::time::sleep(pause).await;
                    continue;
                }
            }
            let is_certain = is_behind_barrier || !is_uncertified(&request, &outcome);
            if is_certain && (outcome.is_ok() || !self.asked_before) {
                return outcome.map_err(|error| error_reply(&self.id, &request, &error));
            }
            if !barrier(self.member, self.deadline).await {
                return Err(self.not_checked());
            }
            if let Some(first) = self.first_outcome().await {
                return Ok(first);
            }
            match if is_certain { Standing::Current } else { self.standing(epoch) } {
                Standing::Current => return outcome.map_err(|error| error_reply(&self.id, &request, &error)),
                Standing::Deposed => return Err(not_primary(&self.id, None)),
                Standing::MayHaveLagged => is_behind_barrier = true,
            }
        }
    }

    /// What the barrier that was passed just now says of an outcome that this copy gave in `epoch`.
    fn standing(&self, epoch: u64) -> Standing {
        self.member.shared.view.with(|view| match (&view.replication, &view.primary) {
            (Replication::Peer, _) => Standing::MayHaveLagged,
            (Replication::Primary, Some(primary)) if *primary == self.member.identity.csp => {
                if view.epoch == epoch {
                    Standing::Current
                } else {
                    Standing::MayHaveLagged
                }
            }
            (Replication::Primary, _) => Standing::Deposed,
        })
    }

    /// The answer when the barrier was not passed in time: whatever this attempt came to, an earlier one under the id may have
    /// taken effect, or be about to.
    fn not_checked(&self) -> ErrorReply {
        let (code, message) = if self.asked_before {
            let message = "the log did not answer in time, so it is not known what became of the first request with this id: \
                           ask again with the same id";
            (ErrorCode::OutcomeUnknown, message)
        } else {
            let message = "the log did not answer in time, so it is not known whether this copy was up to date, and nothing was \
                           written: send it again";
            (ErrorCode::DeadlineExceeded, message)
        };
        ErrorReply::new(Some(self.id.clone()), code, message)
    }

    async fn attempt(&self, request: &Arc<Request>) -> Result<Vec<u8>, StatementError> {
        let database =
            self.member.database.get().ok_or_else(|| StatementError::Failed("the copy is not open yet".to_owned()))?;
        let call = Call {
            ns: self.request.ns.clone(),
            db: self.request.db.clone(),
            sql: self.request.sql.clone(),
            vars: self.request.vars.clone().unwrap_or_default(),
            request: Arc::clone(request),
            deadline: self.deadline,
        };
        // A little longer than the statements may take: once the commit is under way, only the log can say what became of it.
        let bound = self.deadline + Duration::from_millis(20);
        let results = match tokio::time::timeout_at(bound, database.update(call)).await {
            Ok(results) => results?,
            Err(_) => return Err(StatementError::OutcomeUnknown("the log did not answer by the deadline".to_owned())),
        };
        let (position, index) = match request.committed() {
            Some(committed) => (committed.position, Some(committed.index)),
            None => (request.snapshot_position(), None),
        };
        Ok(update_reply_bytes(&self.id, position, index, None, &results))
    }

    /// The answer that the first transaction with this id got, if there was one.
    async fn first_outcome(&self) -> Option<Vec<u8>> {
        let place = self.member.shared.find_id(&self.id)?;
        let results = kept_results(self.member, place).await?;
        Some(update_reply_bytes(&self.id, place.position, Some(place.index), Some(true), &results))
    }
}

/// The results that are kept with an id, as JSON.
pub(super) async fn kept_results(member: &Member, place: Place) -> Option<Vec<u8>> {
    // The id is known a moment before the inner commit that keeps its results.
    if !member.shared.view.reached(place.position, Instant::now() + Duration::from_secs(5)).await {
        return None;
    }
    let snapshot = member.copy.snapshot().await.ok()?;
    let kept = snapshot.get(&reserved::at(reserved::IDS, place.position)).await.ok()??;
    snapshot.close().await;
    KeptIds::results_at(&kept, place).map(|results| if results.is_empty() { b"[]".to_vec() } else { results })
}

fn is_conflict(request: &Request, outcome: &Result<Vec<u8>, StatementError>) -> bool {
    match request.failure() {
        Some(failure) => matches!(failure, CommitFailure::Conflict { .. } | CommitFailure::TooOld),
        None => matches!(outcome, Err(StatementError::Conflict(_))),
    }
}

/// Locks as the storage engine knows them.
pub(super) fn held_locks(locks: &[LockToken]) -> Vec<HeldLock> {
    locks.iter().map(|lock| HeldLock { name: lock.name.clone(), token: lock.token }).collect()
}

/// Whether a lock was not held where this copy was: it may not have applied the acquisition yet.
pub(super) fn is_lock_lost(request: &Request) -> bool {
    matches!(request.failure(), Some(CommitFailure::LockLost { .. }))
}

/// Whether nothing was written, so that the log has no word on the outcome.
fn is_uncertified(request: &Request, outcome: &Result<Vec<u8>, StatementError>) -> bool {
    match outcome {
        Ok(_) => request.committed().is_none(),
        Err(error) => is_lock_lost(request) || matches!(error, StatementError::Statement { .. }),
    }
}

/// A pause that grows with each attempt and differs between requests, so that those that collided do not meet again.
fn back_off(attempt: u32, id: &str) -> Duration {
    let ceiling = (1_u64 << attempt.min(6)).min(BACK_OFF_MAX_MS) * 1_000;
    let seed = xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), u64::from(attempt));
    Duration::from_micros(seed % ceiling.max(1))
}
