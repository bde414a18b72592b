//! Transactions over several messages: the CSP that a transaction began on holds it open until its commit, its abort, or a
//! limit of time. When the CSP dies the transaction dies with it, since nothing of it has left the scratch.
//!
//! A message that finds its transaction gone is answered from the log. Its commit may be there already, or still be on its way
//! from a CSP that hangs. So an empty transaction is committed under the same id: an id counts once, so either that finds the
//! commit, or no commit can come behind it any more and "aborted" is certain.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_datastore::OpenTransaction;
use holdfast_schemas::message::{
    ErrorReply, TransactionBeginReply, TransactionBeginRequest, TransactionExecuteRequest, TransactionRequest,
    TransactionState, TransactionStatusReply, TransactionToken,
};
use holdfast_schemas::{ErrorCode, Message as _, limits};
use holdfast_storage::request::Request;
use holdfast_storage::{CommitFailure, Committed};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::debug;

use super::answer::{Asked, answer_error, barrier, conclude, error_reply, failure_reply, note_storage, refusal};
use super::lock::first_lost;
use super::results::{answer_at, execute_answer, update_answer};
use super::settle::{self, Kept, Settled, Unsettled, first_outcome};
use super::update::{held_locks, is_lock_lost, not_primary, primary_elsewhere};
use crate::member::Member;
use crate::model::Position;

/// What a client wants of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Open it.
    Begin,
    /// Carry out statements.
    Execute,
    /// Let it take effect.
    Commit,
    /// Let nothing of it happen.
    Abort,
    /// Say how it stands.
    Status,
}

impl Verb {
    /// All of them, by the last part of their subject.
    pub const ALL: [(&'static str, Self); 5] = [
        ("begin", Self::Begin),
        ("execute", Self::Execute),
        ("commit", Self::Commit),
        ("abort", Self::Abort),
        ("status", Self::Status),
    ];
}

/// The open transactions of this CSP.
#[derive(Default)]
pub struct Transactions(Mutex<HashMap<Box<str>, Slot>>);

/// One open transaction. Its messages come one after the other: while one is carried out, the transaction is out.
struct Slot {
    transaction: Option<OpenTransaction>,
    idle: Duration,
    /// When it is aborted unless a message comes.
    idle_until: Instant,
    /// When it is aborted whatever comes.
    ends_at: Instant,
}

/// Why a message does not get its transaction.
enum Missing {
    /// Another message is being carried out.
    Busy,
    /// It is not here.
    Gone,
}

impl Transactions {
    fn open(&self, id: &str, transaction: OpenTransaction, idle: Duration) -> bool {
        let mut open = self.0.lock();
        if open.len() >= limits::MAX_OPEN_TRANSACTIONS || open.contains_key(id) {
            return false;
        }
        let now = Instant::now();
        let ends_at = now + Duration::from_millis(limits::MAX_TRANSACTION_MS);
        open.insert(id.into(), Slot { transaction: Some(transaction), idle, idle_until: now + idle, ends_at });
        true
    }

    fn take(&self, id: &str) -> Result<OpenTransaction, Missing> {
        let mut open = self.0.lock();
        let slot = open.get_mut(id).ok_or(Missing::Gone)?;
        slot.transaction.take().ok_or(Missing::Busy)
    }

    fn put_back(&self, id: &str, transaction: OpenTransaction) {
        if let Some(slot) = self.0.lock().get_mut(id) {
            slot.idle_until = Instant::now() + slot.idle;
            slot.transaction = Some(transaction);
        }
    }

    fn remove(&self, id: &str) {
        let removed = self.0.lock().remove(id);
        // Dropped outside of the lock: dropping aborts it.
        drop(removed);
    }

    fn is_open(&self, id: &str) -> bool {
        self.0.lock().contains_key(id)
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Aborts those whose time is over.
    fn expire(&self, now: Instant) -> Vec<Box<str>> {
        let mut open = self.0.lock();
        let over = |slot: &Slot| slot.transaction.is_some() && (slot.idle_until <= now || slot.ends_at <= now);
        let expired: Vec<_> = open.iter().filter(|(_, slot)| over(slot)).map(|(id, _)| id.clone()).collect();
        let removed: Vec<_> = expired.iter().filter_map(|id| open.remove(id)).collect();
        drop(open);
        drop(removed);
        expired
    }
}

/// How often it is looked for transactions whose time is over.
const EXPIRE_INTERVAL: Duration = Duration::from_millis(100);

/// Aborts transactions whose time is over, until the task is aborted.
pub async fn expire(member: Arc<Member>) {
    let mut ticks = tokio::time::interval(EXPIRE_INTERVAL);
    loop {
        ticks.tick().await;
        for id in member.transactions.expire(Instant::now()) {
            debug!(csp = member.identity.csp, %id, "a transaction was aborted because its time was over");
        }
    }
}

/// Carries out one message of a transaction and answers it.
pub async fn transaction(member: Arc<Member>, verb: Verb, asked: Asked) {
    let _taken = member.take_request();
    match verb {
        Verb::Begin => begin(&member, asked).await,
        Verb::Execute => execute(&member, asked).await,
        Verb::Commit | Verb::Abort | Verb::Status => end(&member, verb, asked).await,
    }
}

async fn begin(member: &Arc<Member>, asked: Asked) {
    let request = match TransactionBeginRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, member, ErrorReply::from(&error)).await,
    };
    let id = request.id.clone().or_else(|| asked.routed_id()).unwrap_or_else(|| ulid::Ulid::generate().to_string());
    let deadline = asked.deadline(request.deadline_ms);
    let refused = refusal(member, &id, deadline)
        .or_else(|| primary_elsewhere(member).map(|primary| not_primary(&id, Some(&primary))));
    if let Some(refused) = refused {
        return asked.give_back(member, refused).await;
    }
    let outcome = open(member, &request, &id, deadline).await;
    conclude(&asked, member, outcome, deadline).await;
}

async fn open(
    member: &Arc<Member>,
    request: &TransactionBeginRequest,
    id: &str,
    deadline: Instant,
) -> Result<Vec<u8>, ErrorReply> {
    let refuse = |code, message: &str| ErrorReply::new(Some(id.to_owned()), code, message);
    if member.shared.find_id(id).is_some() || member.transactions.is_open(id) {
        return Err(refuse(ErrorCode::AlreadyExists, "this id is in use already: choose another one"));
    }
    let database =
        member.database.get().ok_or_else(|| refuse(ErrorCode::Unavailable, "the copy is not open yet: ask again"))?;
    let begin = async || {
        let own = Request::under_locks(Some(id.to_owned()), held_locks(&request.locks));
        let begun = database.begin(request.ns.clone(), request.db.clone(), Arc::clone(&own)).await;
        (own, begun)
    };
    let (mut own, mut begun) = begin().await;
    // This copy may not have applied the acquisition yet.
    if is_lock_lost(&own) && barrier(member, deadline).await {
        (own, begun) = begin().await;
    }
    let transaction = begun.map_err(|error| error_reply(id, &own, &error))?;
    let position = own.snapshot_position();
    if !member.transactions.open(id, transaction, Duration::from_millis(request.idle_ms)) {
        let message = "too many transactions are open on this CSP: end some, or begin again in a moment";
        return Err(refuse(ErrorCode::Overloaded, message));
    }
    let own = member.gateway.origin();
    let token = TransactionToken { csp: &own.csp, incarnation: own.incarnation, position, id }.to_string();
    let reply = TransactionBeginReply { id: id.to_owned(), transaction: token, position, idle_ms: request.idle_ms };
    Ok(reply.encode())
}

async fn execute(member: &Arc<Member>, asked: Asked) {
    let request = match TransactionExecuteRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, member, ErrorReply::from(&error)).await,
    };
    let Some(token) = TransactionToken::parse(&request.transaction) else { return };
    let (id, is_own) = (token.id, is_own(member, token));
    let deadline = asked.deadline(request.deadline_ms);
    let taken = if is_own { member.transactions.take(id) } else { Err(Missing::Gone) };
    let outcome = match taken {
        Err(missing) => Err(not_here(member, token, missing, deadline).await),
        Ok(transaction) => {
            let ran = {
                let vars = request.vars.unwrap_or_default();
                transaction.execute(request.sql, vars, deadline, limits::MAX_RESULTS_BYTES).await
            };
            match ran {
                Ok(results) => {
                    member.transactions.put_back(id, transaction);
                    Ok(execute_answer(member, id, &results))
                }
                Err(error) => {
                    note_storage(member, transaction.request(), &error).await;
                    let mut reply = error_reply(id, transaction.request(), &error);
                    member.transactions.remove(id);
                    reply.error.message.push_str("; the transaction was aborted");
                    Err(reply)
                }
            }
        }
    };
    conclude(&asked, member, outcome, deadline).await;
}

async fn end(member: &Arc<Member>, verb: Verb, asked: Asked) {
    let request = match TransactionRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, member, ErrorReply::from(&error)).await,
    };
    let Some(token) = TransactionToken::parse(&request.transaction) else { return };
    let (id, is_own) = (token.id, is_own(member, token));
    let deadline = asked.deadline(request.deadline_ms);
    let outcome = match verb {
        Verb::Commit if is_own => commit(member, token, deadline).await,
        Verb::Commit => settled_commit(member, token, deadline).await,
        Verb::Status if is_own && member.transactions.is_open(id) => {
            Ok(status_reply(id, TransactionState::Open, member.shared.view.position()))
        }
        _ => {
            if is_own {
                // A message that is being carried out finds its place gone when it is done, which aborts too.
                member.transactions.remove(id);
            }
            status(member, token, deadline).await
        }
    };
    conclude(&asked, member, outcome, deadline).await;
}

async fn commit(member: &Arc<Member>, token: TransactionToken<'_>, deadline: Instant) -> Result<Vec<u8>, ErrorReply> {
    let id = token.id;
    let transaction = match member.transactions.take(id) {
        Ok(transaction) => transaction,
        Err(Missing::Busy) => return Err(busy(id)),
        Err(Missing::Gone) => return settled_commit(member, token, deadline).await,
    };
    let request = Arc::clone(transaction.request());
    let bound = deadline + Duration::from_millis(20);
    let committed = tokio::time::timeout_at(bound, transaction.commit(Bytes::from_static(b"[]"))).await;
    member.transactions.remove(id);
    match committed {
        Ok(Ok(())) => match request.committed() {
            Some(Committed { position, index }) => Ok(update_answer(member, id, position, Some(index), None, b"[]")),
            // It wrote nothing, so it has no place yet; with one, whoever asks for its status is told the same.
            None => settled_as(member, token, Kept::Done(b"[]".to_vec()), deadline).await,
        },
        // Somebody who took this CSP for gone has settled it meanwhile.
        Ok(Err(_)) if matches!(request.failure(), Some(CommitFailure::Duplicate { .. })) => {
            settled_commit(member, token, deadline).await
        }
        Ok(Err(error)) => match lost_lock(member, &request).await {
            Some(failure) => Err(failure_reply(id, &failure)),
            None => Err(begin_anew(error_reply(id, &request, &error))),
        },
        Err(_) => {
            let message = "the log did not answer by the deadline: ask transaction.status with the same token";
            Err(ErrorReply::new(Some(id.to_owned()), ErrorCode::OutcomeUnknown, message))
        }
    }
}

/// The lock whose loss a conflict was about, if it was: by now this copy has applied what it conflicts with.
async fn lost_lock(member: &Member, request: &Request) -> Option<CommitFailure> {
    if !matches!(request.failure(), Some(CommitFailure::Conflict { .. })) {
        return None;
    }
    let lost = first_lost(member, request.locks()).await.ok()??;
    Some(CommitFailure::LockLost { name: lost.name.clone(), token: lost.token })
}

/// What lost against another transaction cannot be sent again: what it was built on has changed.
fn begin_anew(mut reply: ErrorReply) -> ErrorReply {
    if matches!(reply.error.code, ErrorCode::Conflict | ErrorCode::TransactionTooOld) {
        reply.error.retryable = false;
        reply.error.message.push_str(": nothing was written, begin the transaction anew");
    }
    reply
}

async fn status(member: &Arc<Member>, token: TransactionToken<'_>, deadline: Instant) -> Result<Vec<u8>, ErrorReply> {
    let settled = settle_as_aborted(member, token, deadline).await?;
    let state = match settled.kept {
        Kept::Done(_) => TransactionState::Committed,
        Kept::Refused(_) => TransactionState::Aborted,
    };
    Ok(status_reply(token.id, state, settled.place.position))
}

fn status_reply(id: &str, state: TransactionState, position: u64) -> Vec<u8> {
    TransactionStatusReply { id: id.to_owned(), state, position }.encode()
}

/// The answer to the commit of a transaction that is not open here.
async fn settled_commit(
    member: &Arc<Member>,
    token: TransactionToken<'_>,
    deadline: Instant,
) -> Result<Vec<u8>, ErrorReply> {
    settled_as(member, token, Kept::Refused(Box::new(aborted(token.id).error)), deadline).await
}

async fn settled_as(
    member: &Arc<Member>,
    token: TransactionToken<'_>,
    kept: Kept,
    deadline: Instant,
) -> Result<Vec<u8>, ErrorReply> {
    let id = token.id;
    let Settled { place, is_first, kept } = settle(member, token, kept, deadline).await?;
    match kept {
        Kept::Done(results) => Ok(answer_at(member, id, place, is_first, &results)),
        Kept::Refused(error) => Err(ErrorReply { id: Some(id.to_owned()), error: *error }),
    }
}

async fn settle_as_aborted(
    member: &Arc<Member>,
    token: TransactionToken<'_>,
    deadline: Instant,
) -> Result<Settled, ErrorReply> {
    settle(member, token, Kept::Refused(Box::new(aborted(token.id).error)), deadline).await
}

/// Finds what became of a transaction that is not open here, or settles it with this outcome.
async fn settle(
    member: &Arc<Member>,
    token: TransactionToken<'_>,
    kept: Kept,
    deadline: Instant,
) -> Result<Settled, ErrorReply> {
    let id = token.id;
    if let Some(first) = first_outcome(member, id).await {
        return known(member, token, first);
    }
    if let Some(primary) = primary_elsewhere(member) {
        return Err(not_primary(id, Some(&primary)));
    }
    if matches!(kept, Kept::Refused(_)) && may_be_forgotten(member.shared.ids_horizon(), token) {
        return Err(forgotten(id));
    }
    match settle::settle(member, id, kept, None, deadline).await {
        Ok(settled) => known(member, token, settled),
        Err(Unsettled::NotPrimary) => Err(not_primary(id, None)),
        Err(Unsettled::Unknown) => Err(log_silent(id)),
    }
}

/// An outcome, unless it only says that the commit was not found among ids of which some are forgotten.
fn known(member: &Member, token: TransactionToken<'_>, settled: Settled) -> Result<Settled, ErrorReply> {
    match settled.kept {
        Kept::Refused(_) if may_be_forgotten(member.shared.ids_horizon(), token) => Err(forgotten(token.id)),
        _ => Ok(settled),
    }
}

/// Whether the commit of this transaction may be among the ids that are known no more: it would be behind what the transaction
/// read, and ids up to the horizon are gone. Not to find it then proves nothing.
fn may_be_forgotten(ids_horizon: Position, token: TransactionToken<'_>) -> bool {
    ids_horizon > token.position
}

async fn not_here(
    member: &Arc<Member>,
    token: TransactionToken<'_>,
    missing: Missing,
    deadline: Instant,
) -> ErrorReply {
    let id = token.id;
    match missing {
        Missing::Busy => busy(id),
        Missing::Gone => match settle_as_aborted(member, token, deadline).await {
            Ok(Settled { kept: Kept::Done(_), .. }) => {
                let message = "the transaction was committed already, and takes no more statements: begin another one";
                ErrorReply::new(Some(id.to_owned()), ErrorCode::InvalidRequest, message)
            }
            Ok(Settled { kept: Kept::Refused(error), .. }) => ErrorReply { id: Some(id.to_owned()), error: *error },
            Err(error) => error,
        },
    }
}

/// Whether a token is one of this very process.
fn is_own(member: &Member, token: TransactionToken<'_>) -> bool {
    let own = member.gateway.origin();
    token.csp == own.csp && token.incarnation == own.incarnation
}

fn forgotten(id: &str) -> ErrorReply {
    let message = "the transaction began so long ago that its id may be known no more, so it is not known whether it was \
                   committed: look for what it would have written";
    ErrorReply::new(Some(id.to_owned()), ErrorCode::NotFound, message)
}

fn busy(id: &str) -> ErrorReply {
    let message = "the transaction still works on an earlier message: wait for its answer first";
    ErrorReply::new(Some(id.to_owned()), ErrorCode::InvalidRequest, message)
}

fn aborted(id: &str) -> ErrorReply {
    let message = "the transaction is not open any more, because its time was over or its CSP ended, and nothing of it \
                   happened: begin anew";
    ErrorReply::new(Some(id.to_owned()), ErrorCode::TransactionAborted, message).settled()
}

fn log_silent(id: &str) -> ErrorReply {
    let message =
        "the log did not answer by the deadline, so it is not known whether the transaction was committed: ask again";
    ErrorReply::new(Some(id.to_owned()), ErrorCode::OutcomeUnknown, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_commit_that_would_still_be_known_is_missed_for_certain() {
        let token = TransactionToken { csp: "a", incarnation: 1, position: 10, id: "x" };
        assert!(!may_be_forgotten(0, token));
        assert!(!may_be_forgotten(10, token), "the commit would be behind what it read");
        assert!(may_be_forgotten(11, token));
    }
}
