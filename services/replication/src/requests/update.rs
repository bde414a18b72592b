//! An update: one transaction, carried out once.
//!
//! A repeated id gets the first outcome. It is looked up before the statements run, and again, behind everything that was
//! acknowledged so far, when they fail: a copy that lags would otherwise fail what another one has already done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::HeaderMap;
use holdfast_datastore::{Call, StatementError};
use holdfast_schemas::message::{ErrorReply, UpdateRequest, update_reply_bytes};
use holdfast_schemas::{ErrorCode, Message as _, header, subject};
use holdfast_storage::request::Request;
use holdfast_storage::{CommitFailure, reserved};
use tokio::time::Instant;

use super::answer::{Asked, answer_error, barrier, error_reply, refusal};
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
    if let Some(refusal) = refusal(&member, &id) {
        return answer_error(&asked, &member, refusal).await;
    }
    if let Some(primary) = primary_elsewhere(&member) {
        return hand_on(&member, asked, &primary, &id).await;
    }
    let deadline = asked.deadline(request.deadline_ms);
    let update = Update { member: &member, request, id, deadline, asked_before };
    let answer = update.run().await;
    member.counts.updates.fetch_add(1, Ordering::Relaxed);
    match answer {
        Ok(body) => asked.answer(&member, body).await,
        Err(error) => answer_error(&asked, &member, error).await,
    }
}

/// The primary, when it is another CSP.
fn primary_elsewhere(member: &Member) -> Option<String> {
    member.shared.view.with(|view| match (&view.replication, &view.primary) {
        (Replication::Primary, Some(primary)) if *primary != member.identity.csp => Some(primary.clone()),
        _ => None,
    })
}

/// Hands the request on to the primary, with the client's own reply subject.
async fn hand_on(member: &Member, asked: Asked, primary: &str, id: &str) {
    let attempt = asked.header(header::ATTEMPT).and_then(|attempt| attempt.parse::<u32>().ok()).unwrap_or(1);
    let Some(reply) = asked.reply.clone().filter(|_| attempt <= HANDED_ON_MAX) else {
        let message = format!("this CSP is not the primary, {primary} is: send the request again");
        return answer_error(&asked, member, ErrorReply::new(Some(id.to_owned()), ErrorCode::NotPrimary, message))
            .await;
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
        let mut is_behind_barrier = self.answers_for_all();
        loop {
            attempt += 1;
            let request = Request::new(Some(self.id.clone()));
            let error = match self.attempt(&request).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            if matches!(request.failure(), Some(CommitFailure::Duplicate { .. }))
                && let Some(first) = self.first_outcome().await
            {
                return Ok(first);
            }
            if is_conflict(&request, &error) {
                self.member.counts.conflicts.fetch_add(1, Ordering::Relaxed);
                let pause = back_off(attempt, &self.id);
                if Instant::now() + pause < self.deadline {
                    tokio::time::sleep(pause).await;
                    continue;
                }
            }
            // Nothing was written, so nothing was certified: the statement may have failed only because this copy had not
            // applied yet what another one acknowledged. Behind a barrier it cannot be so.
            let may_lag = !is_behind_barrier && matches!(error, StatementError::Statement { .. });
            if (may_lag || self.asked_before) && barrier(self.member, self.deadline).await {
                if let Some(first) = self.first_outcome().await {
                    return Ok(first);
                }
                if may_lag {
                    is_behind_barrier = true;
                    continue;
                }
            }
            return Err(error_reply(&self.id, &request, &error));
        }
    }

    /// Whether every acknowledgement of the group was given by this copy, so that nothing acknowledged is missing here.
    fn answers_for_all(&self) -> bool {
        self.member.shared.view.with(|view| view.replication == Replication::Primary)
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

async fn kept_results(member: &Member, place: Place) -> Option<Vec<u8>> {
    // The id is known a moment before the inner commit that keeps its results.
    if !member.shared.view.reached(place.position, Instant::now() + Duration::from_secs(5)).await {
        return None;
    }
    let snapshot = member.copy.snapshot().await.ok()?;
    let kept = snapshot.get(&reserved::at(reserved::IDS, place.position)).await.ok()??;
    snapshot.close().await;
    KeptIds::results_at(&kept, place).map(|results| if results.is_empty() { b"[]".to_vec() } else { results })
}

fn is_conflict(request: &Request, error: &StatementError) -> bool {
    match request.failure() {
        Some(failure) => matches!(failure, CommitFailure::Conflict { .. } | CommitFailure::TooOld),
        None => matches!(error, StatementError::Conflict(_)),
    }
}

/// A pause that grows with each attempt and differs between requests, so that those that collided do not meet again.
fn back_off(attempt: u32, id: &str) -> Duration {
    let ceiling = (1_u64 << attempt.min(6)).min(BACK_OFF_MAX_MS) * 1_000;
    let seed = xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), u64::from(attempt));
    Duration::from_micros(seed % ceiling.max(1))
}
