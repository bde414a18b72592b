//! Transactions over several messages: the CSP that a transaction began on holds it open until its commit, its abort, or a
//! limit of time. When the CSP dies the transaction dies with it, since nothing of it has left the scratch.
//!
//! Each message is carried out once. Whoever sends one again gets the answer of the first time, and waits for it if need be
//! (`open_transactions`, `model/messages`).
//!
//! A message that finds its transaction gone is answered from the log. Its commit may be there already, or still be on its way
//! from a CSP that hangs. So an empty transaction is committed under the same id: an id counts once, so either that finds the
//! commit, or no commit can come behind it any more and "aborted" is certain.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_schemas::message::{
    ErrorReply, TransactionBeginReply, TransactionBeginRequest, TransactionExecuteRequest, TransactionRequest,
    TransactionState, TransactionStatusReply, TransactionToken,
};
use holdfast_schemas::{ErrorCode, Message as _, header, limits};
use holdfast_storage::request::{Request, Terms};
use holdfast_storage::{CommitFailure, Committed};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use super::answer::{Asked, answer_error, barrier, conclude, error_reply, failure_reply, note_storage, refusal};
use super::lock::first_lost;
use super::open_transactions::{Answer, Begun, Run, Taken, aborted};
use super::results::{answer_at, execute_answer, update_answer};
use super::settle::{self, As, Kept, Named, Settled, Unsettled, first_outcome, id_reused};
use super::update::{held_locks, is_lock_lost, not_primary, primary_elsewhere};
use crate::member::Member;
use crate::model::Position;
use crate::model::fingerprint::Fingerprint;
use crate::model::messages::{Key, Message};

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

/// How often it is looked for transactions whose time is over.
const EXPIRE_INTERVAL: Duration = Duration::from_millis(100);
/// How long behind its deadline the answer to a commit is awaited: rather a late answer than an unknown one.
const ANSWER_MARGIN: Duration = Duration::from_millis(20);

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
    asked.begin(member).await;
    let id = request.id.clone().or_else(|| asked.routed_id()).unwrap_or_else(|| ulid::Ulid::generate().to_string());
    let deadline = asked.deadline(member, request.deadline_ms);
    // What is open here is told also by a CSP that takes nothing new.
    let fingerprint = begin_fingerprint(&request);
    if let Some(begun) = member.transactions.begun(&id, fingerprint, asked.is_recovery()) {
        return conclude(&asked, member, begun_before(&id, begun), deadline).await;
    }
    let refused = refusal(member, &id, deadline)
        .or_else(|| primary_elsewhere(member).map(|primary| not_primary(&id, Some(&primary))));
    if let Some(refused) = refused {
        return asked.give_back(member, refused).await;
    }
    let outcome = open(member, &request, &id, (fingerprint, asked.is_recovery()), deadline).await;
    conclude(&asked, member, outcome, deadline).await;
}

/// What a transaction was begun with: the same `begin` again gets the same token.
fn begin_fingerprint(request: &TransactionBeginRequest) -> u64 {
    let fingerprint = Fingerprint::of("begin").text(&request.ns).text(&request.db).number(request.idle_ms);
    request.locks.iter().fold(fingerprint, |fingerprint, lock| fingerprint.text(&lock.name).number(lock.token)).finish()
}

/// Under an id more than one transaction may be open, each in a process of its own; one of them counts.
fn token_fingerprint(csp: &str, incarnation: u64) -> u64 {
    Fingerprint::of("transaction").text(csp).number(incarnation).finish()
}

fn begun_before(id: &str, begun: Begun) -> Answer {
    let (code, why) = match begun {
        Begun::Open => (ErrorCode::Internal, "the transaction was opened and is not there: choose another id"),
        Begun::Before(answer) => return Ok(answer),
        Begun::Differs => (ErrorCode::IdReused, "another transaction is open under this id: choose another one"),
        Begun::Ended => (ErrorCode::AlreadyExists, "a transaction under this id has ended: choose another one"),
        Begun::Full => {
            (ErrorCode::Overloaded, "too many transactions are open on this CSP: end some, or begin again in a moment")
        }
    };
    Err(ErrorReply::new(Some(id.to_owned()), code, why))
}

async fn open(
    member: &Arc<Member>,
    request: &TransactionBeginRequest,
    id: &str,
    (fingerprint, may_have_twin): (u64, bool),
    deadline: Instant,
) -> Answer {
    let refuse = |code, message: &str| ErrorReply::new(Some(id.to_owned()), code, message);
    if member.shared.find_id(id).is_some() {
        return Err(refuse(ErrorCode::AlreadyExists, "this id is in use already: choose another one"));
    }
    let database =
        member.database.get().ok_or_else(|| refuse(ErrorCode::Unavailable, "the copy is not open yet: ask again"))?;
    let origin = member.gateway.origin();
    let begin = async || {
        let own = Request::on(Terms {
            id: Some(id.to_owned()),
            fingerprint: Some(token_fingerprint(&origin.csp, origin.incarnation)),
            since: Some(member.shared.view.position()),
            locks: held_locks(&request.locks),
            is_handed_on: true,
            ..Terms::default()
        });
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
    let token = TransactionToken { csp: &origin.csp, incarnation: origin.incarnation, position, id }.to_string();
    let idle_ms = request.idle_ms;
    let life_ms = limits::MAX_TRANSACTION_MS;
    let reply = TransactionBeginReply { id: id.to_owned(), transaction: token, position, idle_ms, life_ms };
    let reply = Bytes::from(reply.encode());
    let idle = Duration::from_millis(idle_ms);
    match member.transactions.open(id, transaction, (reply.clone(), fingerprint), idle, may_have_twin) {
        Begun::Open => Ok(reply),
        // The same was being carried out at the same time.
        begun => begun_before(id, begun),
    }
}

async fn execute(member: &Arc<Member>, asked: Asked) {
    let request = match TransactionExecuteRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, member, ErrorReply::from(&error)).await,
    };
    let Some(token) = TransactionToken::parse(&request.transaction) else { return };
    if let Some(refused) = another_is_open(member, token) {
        return answer_error(&asked, member, refused).await;
    }
    let deadline = asked.deadline(member, request.deadline_ms);
    let content = Fingerprint::of("execute").text(&request.sql).members(request.vars.iter().flatten()).finish();
    let message = Message { number: request.number, key: key(&asked), content };
    let outcome = match taken(member, token, &message, false, deadline).await {
        Got::Run(run) => {
            statements(member, run, (request.sql, request.vars.unwrap_or_default()), token.id, deadline).await
        }
        Got::Answer(answer) => answer,
        Got::Gone => Err(not_here(member, token, deadline).await),
    };
    conclude(&asked, member, outcome, deadline).await;
}

fn key(asked: &Asked) -> Option<Key<'_>> {
    asked.header(header::MESSAGE).and_then(Key::parse)
}

/// Carries out the statements of a message.
async fn statements(
    member: &Arc<Member>,
    run: Run,
    (sql, vars): (String, Map<String, Value>),
    id: &str,
    deadline: Instant,
) -> Answer {
    let Some(transaction) = run.transaction() else { return Err(cut_short(id)) };
    match transaction.execute(sql, vars, deadline, limits::MAX_RESULTS_BYTES).await {
        Ok(results) => {
            let answer = Ok(Bytes::from(execute_answer(member, id, &results)));
            run.go_on(answer.clone());
            answer
        }
        Err(error) => {
            note_storage(member, transaction.request(), &error).await;
            let mut reply = error_reply(id, transaction.request(), &error);
            reply.error.message.push_str("; the transaction was aborted");
            // Sent again, it would find no transaction.
            reply.error.retryable = false;
            run.end(aborted(&format!("a message of it failed ({})", reply.error.code)), Err(reply.clone()));
            Err(reply)
        }
    }
}

/// What a message got, after it waited for the one that it repeats.
enum Got {
    Run(Run),
    Answer(Answer),
    Gone,
}

async fn taken(
    member: &Arc<Member>,
    token: TransactionToken<'_>,
    message: &Message<'_>,
    is_commit: bool,
    deadline: Instant,
) -> Got {
    // What the log has settled is told, also where somebody took this CSP for gone and the transaction is still here.
    if !is_own(member, token) || member.shared.find_id(token.id).is_some() {
        return Got::Gone;
    }
    let refused = |code, why| Got::Answer(Err(ErrorReply::new(Some(token.id.to_owned()), code, why)));
    loop {
        match member.transactions.take(token, message, is_commit, Instant::now() >= deadline) {
            Taken::Run(run) => return Got::Run(run),
            Taken::Answer(answer) => return Got::Answer(answer),
            Taken::Refused(code, why) => return refused(code, why),
            Taken::Ended(reason) => {
                return Got::Answer(Err(ErrorReply { id: Some(token.id.to_owned()), error: *reason }));
            }
            Taken::Gone => return Got::Gone,
            Taken::Running(running) => {
                if !is_done(running, deadline + ANSWER_MARGIN).await {
                    let why = "the message is being carried out, and was not done by the deadline: send it again";
                    return refused(ErrorCode::OutcomeUnknown, why.to_owned());
                }
            }
        }
    }
}

/// Waits until a message that is being carried out is done; false if that was not so by the deadline.
async fn is_done(mut running: watch::Receiver<()>, deadline: Instant) -> bool {
    // Nothing is ever sent: the other end is dropped.
    tokio::time::timeout_at(deadline, async { while running.changed().await.is_ok() {} }).await.is_ok()
}

async fn end(member: &Arc<Member>, verb: Verb, asked: Asked) {
    let request = match TransactionRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, member, ErrorReply::from(&error)).await,
    };
    let Some(token) = TransactionToken::parse(&request.transaction) else { return };
    if let Some(refused) = another_is_open(member, token) {
        return answer_error(&asked, member, refused).await;
    }
    let deadline = asked.deadline(member, request.deadline_ms);
    let outcome = match verb {
        Verb::Commit => {
            let content = Fingerprint::of("commit").finish();
            let message = Message { number: request.number, key: key(&asked), content };
            match taken(member, token, &message, true, deadline).await {
                Got::Run(run) => commit(member, run, token, deadline).await,
                Got::Answer(answer) => answer,
                Got::Gone => settled_commit(member, token, deadline).await,
            }
        }
        Verb::Abort => abort(member, token, deadline).await,
        _ => status(member, token, deadline).await,
    };
    conclude(&asked, member, outcome, deadline).await;
}

async fn commit(member: &Arc<Member>, mut run: Run, token: TransactionToken<'_>, deadline: Instant) -> Answer {
    let id = token.id;
    let Some(transaction) = run.take_transaction() else { return Err(cut_short(id)) };
    let request = Arc::clone(transaction.request());
    let committed =
        tokio::time::timeout_at(deadline + ANSWER_MARGIN, transaction.commit(Bytes::from_static(b"[]"))).await;
    match committed {
        Ok(Ok(())) => {
            let answer = match request.committed() {
                Some(Committed { position, index }) => {
                    Ok(update_answer(member, id, position, Some(index), None, b"[]").into())
                }
                // It wrote nothing, so it has no place yet; with one, whoever asks for its status is told the same.
                None => settled_as(member, token, Kept::Done(b"[]".to_vec()), deadline).await,
            };
            run.forget();
            answer
        }
        // Somebody who took this CSP for gone has settled it meanwhile.
        Ok(Err(_)) if matches!(request.failure(), Some(CommitFailure::Duplicate { .. })) => {
            run.forget();
            settled_commit(member, token, deadline).await
        }
        Ok(Err(error)) => {
            let reply = match lost_lock(member, &request).await {
                Some(failure) => failure_reply(id, &failure),
                None => begin_anew(error_reply(id, &request, &error)),
            };
            if is_certain(&request) {
                run.end(reply.error.clone(), Err(reply.clone()));
            } else {
                run.forget();
            }
            Err(reply)
        }
        Err(_) => {
            run.forget();
            let message = "the log did not answer by the deadline: ask transaction.status with the same token";
            Err(ErrorReply::new(Some(id.to_owned()), ErrorCode::OutcomeUnknown, message))
        }
    }
}

/// Whether a commit that failed cannot take effect any more, here or by anybody else.
fn is_certain(request: &Request) -> bool {
    request.failure().is_some_and(|failure| {
        matches!(
            failure,
            CommitFailure::Conflict { .. }
                | CommitFailure::TooOld
                | CommitFailure::LockLost { .. }
                | CommitFailure::TooLarge { .. }
        )
    })
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

async fn abort(member: &Arc<Member>, token: TransactionToken<'_>, deadline: Instant) -> Answer {
    if is_own(member, token) {
        let committing = member.transactions.abort(token.id, aborted("its client aborted it"));
        if let Some(committing) = committing
            && !is_done(committing, deadline + ANSWER_MARGIN).await
        {
            return Err(log_silent(token.id));
        }
    }
    settled_status(member, token, deadline).await
}

async fn status(member: &Arc<Member>, token: TransactionToken<'_>, deadline: Instant) -> Answer {
    let is_settled = member.shared.find_id(token.id).is_some();
    if is_own(member, token) && !is_settled && member.transactions.is_open(token.id) {
        return Ok(status_reply(token.id, TransactionState::Open, member.shared.view.position()));
    }
    settled_status(member, token, deadline).await
}

async fn settled_status(member: &Arc<Member>, token: TransactionToken<'_>, deadline: Instant) -> Answer {
    if is_own(member, token) && member.transactions.ended(token.id).is_some() {
        // It lived nowhere but here, so nobody can commit it any more.
        return Ok(status_reply(token.id, TransactionState::Aborted, member.shared.view.position()));
    }
    match settle_as_aborted(member, token, deadline).await {
        Ok(Settled { kept: Kept::Done(_), place, .. }) => {
            Ok(status_reply(token.id, TransactionState::Committed, place.position))
        }
        Ok(Settled { kept: Kept::Refused(_), place, .. }) => {
            Ok(status_reply(token.id, TransactionState::Aborted, place.position))
        }
        // The id went to another one, so nothing of this one happened.
        Err(error) if error.error.code == ErrorCode::IdReused => {
            Ok(status_reply(token.id, TransactionState::Aborted, member.shared.view.position()))
        }
        Err(error) => Err(error),
    }
}

fn status_reply(id: &str, state: TransactionState, position: u64) -> Bytes {
    TransactionStatusReply { id: id.to_owned(), state, position }.encode().into()
}

/// The answer to the commit of a transaction that is not open here.
async fn settled_commit(member: &Arc<Member>, token: TransactionToken<'_>, deadline: Instant) -> Answer {
    settled_as(member, token, gone(member, token), deadline).await
}

async fn settled_as(member: &Arc<Member>, token: TransactionToken<'_>, kept: Kept, deadline: Instant) -> Answer {
    let id = token.id;
    let Settled { place, is_first, kept, .. } = settle(member, token, kept, deadline).await?;
    match kept {
        Kept::Done(results) => Ok(answer_at(member, id, place, is_first, &results).into()),
        Kept::Refused(error) => Err(ErrorReply { id: Some(id.to_owned()), error: *error }),
    }
}

async fn settle_as_aborted(
    member: &Arc<Member>,
    token: TransactionToken<'_>,
    deadline: Instant,
) -> Result<Settled, ErrorReply> {
    settle(member, token, gone(member, token), deadline).await
}

/// The outcome of a transaction of which nothing is known here.
fn gone(member: &Member, token: TransactionToken<'_>) -> Kept {
    let own = &member.gateway.origin().csp;
    let why = if is_own(member, token) {
        "its time was over".to_owned()
    } else if token.csp == own {
        format!("its CSP {own} was started anew")
    } else {
        format!("its CSP {} ended, or was taken for gone", token.csp)
    };
    let reply = ErrorReply { id: None, error: aborted(&why) }.settled();
    Kept::Refused(Box::new(reply.error))
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
    // That it was done is certain only here; that nothing was found is looked for where entries are written.
    let as_whom = if matches!(kept, Kept::Done(_)) { As::Anybody } else { As::Writer };
    if let Some(primary) = primary_elsewhere(member).filter(|_| as_whom == As::Writer) {
        return Err(not_primary(id, Some(&primary)));
    }
    if matches!(kept, Kept::Refused(_)) && may_be_forgotten(member.shared.ids_horizon(), token) {
        return Err(forgotten(id));
    }
    let fingerprint = token_fingerprint(token.csp, token.incarnation);
    let named = Named { id, fingerprint, since: token.position };
    match settle::settle(member, named, kept, as_whom, deadline).await {
        Ok(settled) => known(member, token, settled),
        Err(Unsettled::NotPrimary) => Err(not_primary(id, None)),
        Err(Unsettled::LogRefused(refused)) => Err(failure_reply(id, &refused)),
        Err(Unsettled::Unknown) => Err(log_silent(id)),
    }
}

/// An outcome, unless it is that of another transaction, or only says that the commit was not found among ids of which some are
/// forgotten.
fn known(member: &Member, token: TransactionToken<'_>, settled: Settled) -> Result<Settled, ErrorReply> {
    match settled.kept {
        Kept::Done(_) if !settled.is_of(token_fingerprint(token.csp, token.incarnation)) => Err(id_reused(token.id)),
        Kept::Refused(_) if may_be_forgotten(member.shared.ids_horizon(), token) => Err(forgotten(token.id)),
        _ => Ok(settled),
    }
}

/// Whether the commit of this transaction may be among the ids that are known no more: it would be behind what the transaction
/// read, and ids up to the horizon are gone. Not to find it then proves nothing.
fn may_be_forgotten(ids_horizon: Position, token: TransactionToken<'_>) -> bool {
    ids_horizon > token.position
}

async fn not_here(member: &Arc<Member>, token: TransactionToken<'_>, deadline: Instant) -> ErrorReply {
    let id = token.id;
    match settle_as_aborted(member, token, deadline).await {
        Ok(Settled { kept: Kept::Done(_), .. }) => {
            let message = "the transaction was committed since, so this message is not carried out (again)";
            ErrorReply::new(Some(id.to_owned()), ErrorCode::AnswerNotKept, message)
        }
        Ok(Settled { kept: Kept::Refused(error), .. }) => ErrorReply { id: Some(id.to_owned()), error: *error },
        Err(error) => error,
    }
}

/// Whether a token is one of this very process.
fn is_own(member: &Member, token: TransactionToken<'_>) -> bool {
    let own = member.gateway.origin();
    token.csp == own.csp && token.incarnation == own.incarnation
}

/// What a message is told whose token is not that of the transaction that is open here under its id.
///
/// Settled under that id, the one that is open could not commit any more, and whoever makes up a token would end it. Where a CSP was
/// lost with its `begin`, the token may be what that CSP gave, though, and its client waits for an outcome. The one that is open
/// is then a second one, whose token nobody has. Nobody else is asked: what became of the one of this token is certain when the
/// other has ended, and not before, because the first commit counts.
fn another_is_open(member: &Member, token: TransactionToken<'_>) -> Option<ErrorReply> {
    let id = token.id;
    if is_own(member, token) || !member.transactions.is_the_only_one(id) || member.shared.find_id(id).is_some() {
        return None;
    }
    let message = "another transaction is open under this id, and this token is not its token: whether this one was committed is \
                   certain when the other has ended, ask again then";
    Some(ErrorReply::new(Some(id.to_owned()), ErrorCode::OutcomeUnknown, message))
}

fn forgotten(id: &str) -> ErrorReply {
    let message = "the transaction began so long ago that its id may be known no more, so it is not known whether it was \
                   committed: look for what it would have written";
    ErrorReply::new(Some(id.to_owned()), ErrorCode::NotFound, message)
}

/// Not reached: a message is carried out only with the transaction in hand.
fn cut_short(id: &str) -> ErrorReply {
    ErrorReply { id: Some(id.to_owned()), error: aborted("a message of it was cut short") }
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
