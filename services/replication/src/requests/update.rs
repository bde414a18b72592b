//! An update: one transaction, carried out once.
//!
//! A repeated id gets the first outcome. It is looked up before the statements run, and the log finds it where this copy lags.
//!
//! What was accepted has its place in the log, and is certain. What failed has none: another attempt under the id may have taken
//! effect, or may yet, so the failure is told once it is the id's outcome in the log (`settle`).
//!
//! What wrote nothing was not certified either: a statement may have failed only because this copy had not applied yet what
//! another one acknowledged, or because it is not the primary any more and does not know. So a peer runs it again behind a
//! barrier, and a primary settles it within the epoch in which it ran.
//!
//! What lost waits for its turn among those that want the same at this copy (`contention`), and is run again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::HeaderMap;
use holdfast_datastore::{Call, StatementError};
use holdfast_schemas::header::{self, TimeLeft};
use holdfast_schemas::message::{ErrorReply, LockToken, UpdateRequest};
use holdfast_schemas::{ErrorCode, Message as _, limits, subject};
use holdfast_storage::CommitFailure;
use holdfast_storage::request::{HeldLock, Request, Terms};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::answer::{
    Asked, answer_error, barrier, conclude, error_reply, failure_reply, log_refusal, note_storage, refusal,
};
use super::results::{answer_at, update_answer};
use super::settle::{As, Kept, Named, Settled, Unsettled, first_outcome, id_reused, settle};
use crate::contention::InLine;
use crate::fault::{self, Sabotage};
use crate::member::Member;
use crate::model::fingerprint::Fingerprint;
use crate::model::{Position, Replication};

/// Times that a request is handed on when it reaches a copy that is no primary (any more).
const HANDED_ON_MAX: u32 = 3;
/// Longest pause before a transaction that lost is run again.
const BACK_OFF_MAX_MS: u64 = 40;
/// The same for one that is first in line at this copy, and lost against another copy.
const PEERS_BACK_OFF_MAX_MS: u64 = 16;
/// How fast it grows up to that: so many doublings for each time.
const PEERS_BACK_OFF: u32 = 2;
/// A transaction that lost so often although it was its turn pauses, too.
const LOST_IN_TURN_MAX: u32 = 4;
/// The most of a request's time that is set aside to settle what it failed with.
const SETTLE_MAX: Duration = Duration::from_millis(50);
/// The part of a request's time that is, where that is less: one of these.
const SETTLE_PART: u32 = 10;
/// How long behind the deadline an outcome that is on its way is awaited: rather a late answer than an unknown one.
const ANSWER_MARGIN: Duration = Duration::from_millis(20);

/// Carries out an update and answers it.
pub async fn update(member: Arc<Member>, asked: Asked) {
    let _taken = member.take_request();
    let request = match UpdateRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, &member, ErrorReply::from(&error)).await,
    };
    // Ahead of all that may have changed by the time that it is said.
    asked.begin(&member).await;
    let asked_before = request.id.is_some() || asked.is_recovery();
    let id = request.id.clone().or_else(|| asked.routed_id()).unwrap_or_else(|| ulid::Ulid::generate().to_string());
    let deadline = asked.deadline(&member, request.deadline_ms);
    let fingerprint = fingerprint_of(&request);
    let since = member.shared.view.position();
    if let Some(refusal) = refusal(&member, &id, deadline) {
        return asked.give_back(&member, refusal).await;
    }
    if asked.header(header::DISPOSITION) == Some(header::DISPOSITION_OUTCOME) {
        return match known_outcome(&member, &id, fingerprint, deadline).await {
            // Execution decides whether it may be carried out now.
            Err(error) if error.error.code == ErrorCode::NotFound => asked.give_back(&member, error).await,
            outcome => conclude(&asked, &member, outcome, deadline).await,
        };
    }
    if asked.header(header::DISPOSITION) == Some(header::DISPOSITION_REFUSE) {
        let outcome = refuse_for_good(&member, Named { id: &id, fingerprint, since }, deadline).await;
        return conclude(&asked, &member, outcome, deadline).await;
    }
    if let Some(primary) = primary_elsewhere(&member) {
        return hand_on(&member, asked, &primary, &id, deadline).await;
    }
    let began = Instant::now();
    let work_until = deadline - (deadline.saturating_duration_since(began) / SETTLE_PART).min(SETTLE_MAX);
    let is_recovery = asked.is_recovery();
    let update =
        Update { member: &member, request, id, fingerprint, since, work_until, deadline, asked_before, is_recovery };
    let mut place = member.shared.contention.arrive(fingerprint);
    let outcome = update.run(&mut place).await;
    // Those who wait for one another say nothing about how fast this copy is.
    member.counts.update_time.note(began.elapsed().saturating_sub(place.waited()));
    drop(place);
    member.counts.updates.fetch_add(1, Ordering::Relaxed);
    match (&outcome, primary_elsewhere(&member)) {
        (Err(error), Some(primary)) if error.error.code == ErrorCode::NotPrimary => {
            hand_on(&member, asked, &primary, &update.id, deadline).await;
        }
        _ => {
            let outcome = match outcome {
                Ok(_) if fault::breaks_now_and_then(Sabotage::TellDoneAsRefused) => Err(refused_on_purpose(&update.id)),
                outcome => outcome,
            };
            let is_told_twice = outcome.is_ok() && fault::breaks_now_and_then(Sabotage::AnswerTwice);
            conclude(&asked, &member, outcome, deadline).await;
            if is_told_twice {
                answer_error(&asked, &member, refused_on_purpose(&update.id)).await;
            }
        }
    }
}

/// Test only: what is told of an update that took effect, when that promise is broken on purpose.
fn refused_on_purpose(id: &str) -> ErrorReply {
    ErrorReply::new(Some(id.to_owned()), ErrorCode::Conflict, "a lie").settled()
}

/// The outcome that the id has, as of everything that was acknowledged before this call.
async fn known_outcome(
    member: &Arc<Member>,
    id: &str,
    fingerprint: u64,
    deadline: Instant,
) -> Result<Vec<u8>, ErrorReply> {
    if let Some(first) = first_outcome(member, id).await {
        return tell(member, id, fingerprint, first);
    }
    let error = |code, message: &str| ErrorReply::new(Some(id.to_owned()), code, message);
    if !barrier(member, deadline).await {
        return Err(error(ErrorCode::Unavailable, "the log did not answer in time: ask again"));
    }
    match first_outcome(member, id).await {
        Some(first) => tell(member, id, fingerprint, first),
        None => Err(error(ErrorCode::NotFound, "nothing is known under this id, and nothing was done")),
    }
}

/// Two CSPs were lost while they worked on it: it is refused under its id for good, unless it took effect before.
async fn refuse_for_good(member: &Arc<Member>, named: Named<'_>, deadline: Instant) -> Result<Vec<u8>, ErrorReply> {
    let Named { id, fingerprint, .. } = named;
    if let Some(first) = first_outcome(member, id).await {
        return tell(member, id, fingerprint, first);
    }
    let message = "two CSPs were lost while they worked on it, so no other one carries it out: change it before you send it again";
    let reply = ErrorReply::new(Some(id.to_owned()), ErrorCode::RequestKills, message).settled();
    match settle(member, named, Kept::Refused(Box::new(reply.error)), As::Writer, deadline).await {
        Ok(settled) => tell(member, id, fingerprint, settled),
        Err(Unsettled::NotPrimary) => Err(not_primary(id, None)),
        Err(Unsettled::LogRefused(_) | Unsettled::Unknown) => Err(unknown(id)),
    }
}

/// What an update asks for: two that differ only in how long their senders wait ask for the same.
fn fingerprint_of(request: &UpdateRequest) -> u64 {
    let fingerprint = Fingerprint::of("update").text(&request.ns).text(&request.db).text(&request.sql);
    let fingerprint = fingerprint.members(request.vars.iter().flatten());
    request.locks.iter().fold(fingerprint, |fingerprint, lock| fingerprint.text(&lock.name).number(lock.token)).finish()
}

/// The answer that the outcome of an id is, if it is that of this request.
fn tell(member: &Member, id: &str, fingerprint: u64, settled: Settled) -> Result<Vec<u8>, ErrorReply> {
    if !settled.is_of(fingerprint) {
        return Err(id_reused(id));
    }
    let Settled { place, is_first, kept, .. } = settled;
    match kept {
        Kept::Done(results) => Ok(answer_at(member, id, place, is_first, &results)),
        Kept::Refused(error) => Err(ErrorReply { id: Some(id.to_owned()), error: *error }),
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
async fn hand_on(member: &Member, asked: Asked, primary: &str, id: &str, deadline: Instant) {
    let attempt = asked.header(header::ATTEMPT).and_then(|attempt| attempt.parse::<u32>().ok()).unwrap_or(1);
    let takes_it_back = asked.route.is_some() || attempt > HANDED_ON_MAX;
    let Some(reply) = asked.reply.clone().filter(|_| !takes_it_back) else {
        return asked.give_back(member, not_primary(id, Some(primary))).await;
    };
    let mut headers: HeaderMap = asked.headers.clone();
    headers.insert(header::ATTEMPT, (attempt + 1).to_string().as_str());
    headers.insert(header::ID, id);
    headers.insert(header::TIME_LEFT, time_left(deadline).to_string());
    let to = subject::csp_update(&member.identity.group, primary);
    if let Err(cause) = member.client.publish_with_reply_and_headers(to, reply, headers, asked.payload.clone()).await {
        let message = format!("the request could not be handed on ({cause}): send it again");
        answer_error(&asked, member, ErrorReply::new(Some(id.to_owned()), ErrorCode::Unavailable, message)).await;
    }
}

/// What is left until the deadline, for another CSP.
fn time_left(deadline: Instant) -> TimeLeft<'static> {
    let left = deadline.saturating_duration_since(Instant::now());
    TimeLeft { left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX), sent_at: None }
}

pub(super) fn not_primary(id: &str, primary: Option<&str>) -> ErrorReply {
    let who = primary.map_or_else(|| "another one is".to_owned(), |primary| format!("{primary} is"));
    let message = format!("this CSP is not the primary, {who}: send the request again");
    ErrorReply::new(Some(id.to_owned()), ErrorCode::NotPrimary, message)
}

struct Update<'a> {
    member: &'a Arc<Member>,
    request: UpdateRequest,
    id: String,
    fingerprint: u64,
    /// Where this copy was when it came.
    since: Position,
    /// When statements are stopped and conflicts are not tried again: what they came to has to be settled by the deadline.
    work_until: Instant,
    deadline: Instant,
    /// Whether the id may have been used before.
    asked_before: bool,
    /// Whether a CSP before may have carried it out.
    is_recovery: bool,
}

/// What has to be done before an outcome is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing. It is certain, or it is no outcome, or every attempt with these statements comes to the same.
    Nothing,
    /// It becomes the outcome of the id.
    Settling,
    /// The same, once it is certain that this copy knew what was acknowledged before.
    BeingCurrent,
}

impl Update<'_> {
    async fn run(&self, place: &mut InLine<'_>) -> Result<Vec<u8>, ErrorReply> {
        if self.asked_before
            && let Some(first) = first_outcome(self.member, &self.id).await
        {
            return tell(self.member, &self.id, self.fingerprint, first);
        }
        if let Some(refused) = log_refusal(self.member, &self.id) {
            return Err(self.log_refused(refused));
        }
        let mut attempt = 0;
        let mut is_behind_barrier = false;
        loop {
            attempt += 1;
            let (locks, ticket) = (held_locks(&self.request.locks), Some(place.ticket()));
            let request = Request::on(Terms { locks, ticket, ..self.named().terms() });
            let is_in_turn = self.wait_for_turn(place).await?;
            let epoch = self.epoch_as_primary();
            let outcome = if is_in_turn { place.watch(self.attempt(&request)).await } else { Err(not_in_turn()) };
            if let Err(error) = &outcome {
                note_storage(self.member, &request, error).await;
            }
            if matches!(request.failure(), Some(CommitFailure::Duplicate { .. })) {
                return match first_outcome(self.member, &self.id).await {
                    Some(first) => tell(self.member, &self.id, self.fingerprint, first),
                    None => Err(self.unknown()),
                };
            }
            if is_conflict(&request, &outcome) {
                self.member.counts.conflicts.fetch_add(1, Ordering::Relaxed);
                if self.line_up(&request, place, attempt).await {
                    continue;
                }
            }
            match before_telling(&request, &outcome) {
                Before::Nothing => {
                    let told = outcome.map_err(|error| error_reply(&self.id, &request, &error));
                    let is_refused = matches!(request.failure(), Some(CommitFailure::LogRefused { .. }));
                    return told.map_err(|error| if is_refused { self.log_refused(error) } else { error });
                }
                Before::BeingCurrent if epoch.is_none() && !is_behind_barrier => {
                    if !barrier(self.member, self.deadline).await {
                        return Err(self.unknown());
                    }
                    is_behind_barrier = true;
                }
                Before::BeingCurrent | Before::Settling => {
                    // The others need not wait for that.
                    place.leave();
                    return self.settle(&request, outcome, epoch).await;
                }
            }
        }
    }

    /// Waits for those who are before it, if there are any. False if its turn did not come in time.
    async fn wait_for_turn(&self, place: &mut InLine<'_>) -> Result<bool, ErrorReply> {
        if !place.waits() {
            return Ok(true);
        }
        let mut epochs = self.member.shared.view.epochs();
        let deposed = epochs.wait_for(|_| primary_elsewhere(self.member).is_some());
        tokio::select! {
            is_in_turn = place.turn(self.work_until) => Ok(is_in_turn),
            _ = deposed => Err(not_primary(&self.id, None)),
        }
    }

    /// Prepares another attempt after a conflict. False if there is no time for one.
    async fn line_up(&self, request: &Request, place: &mut InLine<'_>, attempt: u32) -> bool {
        let view = &self.member.shared.view;
        if let Some(CommitFailure::Conflict { position }) = request.failure()
            && !view.reached(*position, self.work_until).await
        {
            return false;
        }
        let pause = match request.contended() {
            Some(key) => {
                place.lost(key);
                self.pause(request, place)
            }
            None => back_off(attempt, BACK_OFF_MAX_MS, &self.id),
        };
        if Instant::now() + pause >= self.work_until {
            return false;
        }
        if pause > Duration::ZERO {
            tokio::time::sleep(pause).await;
        }
        true
    }

    /// Among peers the first ones of all lines meet in the log. Whoever lost against them once has the newest state now. Whoever loses
    /// again lets the others get on: most of what is sent at the same time is in vain. So does whoever loses again and again here,
    /// against those that want other keys too.
    fn pause(&self, request: &Request, place: &mut InLine<'_>) -> Duration {
        let has_peers = self.member.shared.view.with(|view| view.replication == Replication::Peer);
        if has_peers && matches!(request.failure(), Some(CommitFailure::Conflict { .. })) {
            let doublings = PEERS_BACK_OFF * (place.lost_elsewhere() - 1);
            return back_off(doublings, PEERS_BACK_OFF_MAX_MS, &self.id);
        }
        match place.lost_in_turn().checked_sub(LOST_IN_TURN_MAX) {
            Some(times) => back_off(times, BACK_OFF_MAX_MS, &self.id),
            None => Duration::ZERO,
        }
    }

    fn named(&self) -> Named<'_> {
        Named { id: &self.id, fingerprint: self.fingerprint, since: self.since }
    }

    /// The epoch, in a group with a primary.
    fn epoch_as_primary(&self) -> Option<u64> {
        self.member.shared.view.with(|view| (view.replication == Replication::Primary).then_some(view.epoch))
    }

    /// Makes what this attempt came to the outcome of the id, and tells it; or tells the outcome that the id has.
    async fn settle(
        &self,
        request: &Request,
        outcome: Result<Vec<u8>, StatementError>,
        epoch: Option<u64>,
    ) -> Result<Vec<u8>, ErrorReply> {
        let kept = match outcome {
            Ok(_) => Kept::Done(request.results().map(|results| results.to_vec()).unwrap_or_default()),
            Err(error) => Kept::Refused(Box::new(error_reply(&self.id, request, &error).settled().error)),
        };
        let as_whom = epoch.map_or(As::Writer, As::PrimaryOf);
        match settle(self.member, self.named(), kept, as_whom, self.deadline + ANSWER_MARGIN).await {
            Ok(settled) => tell(self.member, &self.id, self.fingerprint, settled),
            Err(Unsettled::NotPrimary) => Err(not_primary(&self.id, None)),
            Err(Unsettled::LogRefused(refused)) => Err(self.log_refused(failure_reply(&self.id, &refused))),
            Err(Unsettled::Unknown) => Err(self.unknown()),
        }
    }

    /// The answer when the log is not written to. An earlier attempt of execution's may be in it all the same.
    fn log_refused(&self, refused: ErrorReply) -> ErrorReply {
        if !self.is_recovery {
            return refused;
        }
        let message = format!("{}; whether an earlier attempt took effect is not known", refused.error.message);
        ErrorReply::new(Some(self.id.clone()), ErrorCode::OutcomeUnknown, message)
    }

    /// The answer when the log was silent: whatever this attempt came to, another one under the id may have taken effect, or be
    /// about to.
    fn unknown(&self) -> ErrorReply {
        unknown(&self.id)
    }

    async fn attempt(&self, request: &Arc<Request>) -> Result<Vec<u8>, StatementError> {
        let database =
            self.member.database.get().ok_or_else(|| StatementError::Failed("the copy is not open yet".to_owned()))?;
        fault::meet(&self.request.sql);
        let call = Call {
            ns: self.request.ns.clone(),
            db: self.request.db.clone(),
            sql: self.request.sql.clone(),
            vars: self.request.vars.clone().unwrap_or_default(),
            request: Arc::clone(request),
            deadline: self.work_until,
            results_bytes_max: limits::MAX_RESULTS_BYTES,
        };
        // Longer than the statements may take: once the commit is under way, only the log can say what became of it.
        let bound = self.deadline + ANSWER_MARGIN;
        let results = match tokio::time::timeout_at(bound, database.update(call)).await {
            Ok(results) => results?,
            Err(_) => return Err(StatementError::OutcomeUnknown("the log did not answer by the deadline".to_owned())),
        };
        let (position, index) = match request.committed() {
            Some(committed) => (committed.position, Some(committed.index)),
            None => (request.snapshot_position(), None),
        };
        Ok(update_answer(self.member, &self.id, position, index, None, &results))
    }
}

fn unknown(id: &str) -> ErrorReply {
    let message =
        "the log did not answer in time, so it is not known what became of the request: ask again with the same id";
    ErrorReply::new(Some(id.to_owned()), ErrorCode::OutcomeUnknown, message)
}

fn is_conflict(request: &Request, outcome: &Result<Vec<u8>, StatementError>) -> bool {
    match request.failure() {
        Some(failure) => {
            matches!(failure, CommitFailure::Conflict { .. } | CommitFailure::Contended | CommitFailure::TooOld)
        }
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

/// What an outcome that is no conflict to be tried again demands.
fn before_telling(request: &Request, outcome: &Result<Vec<u8>, StatementError>) -> Before {
    if let Some(failure) = request.failure() {
        return match failure {
            CommitFailure::LockLost { .. } | CommitFailure::TooLarge { .. } => Before::BeingCurrent,
            CommitFailure::Conflict { .. }
            | CommitFailure::Contended
            | CommitFailure::TooOld
            | CommitFailure::Unavailable(_) => Before::Settling,
            // No outcomes: another CSP, or a later question, finds it.
            CommitFailure::NotPrimary | CommitFailure::ShuttingDown | CommitFailure::OutcomeUnknown(_) => {
                Before::Nothing
            }
            // Nothing can be settled in a log that is not written to.
            CommitFailure::Duplicate { .. } | CommitFailure::LogRefused { .. } => Before::Nothing,
        };
    }
    match outcome {
        Ok(_) if request.committed().is_some() => Before::Nothing,
        Ok(_) | Err(StatementError::Statement { .. } | StatementError::Panicked(_) | StatementError::TooLarge) => {
            Before::BeingCurrent
        }
        Err(StatementError::Conflict(_) | StatementError::Deadline | StatementError::TooMuchMemory) => Before::Settling,
        Err(
            StatementError::Parse(_)
            | StatementError::TransactionStatement(_)
            | StatementError::Unsupported(_)
            | StatementError::ReadOnly
            | StatementError::ResultsTooLarge { .. },
        ) => Before::Nothing,
        // Says of itself that it is not known what happened.
        Err(StatementError::Failed(_) | StatementError::OutcomeUnknown(_)) => Before::Nothing,
        // Another CSP carries it out.
        Err(StatementError::Storage(_)) => Before::Nothing,
        Err(StatementError::ShuttingDown) => Before::Nothing,
    }
}

/// What a request came to whose turn did not come.
fn not_in_turn() -> StatementError {
    StatementError::Conflict("others that change the same were before it until its deadline".to_owned())
}

/// A pause that grows with each attempt and differs between requests, so that those that collided do not meet again.
fn back_off(attempt: u32, max_ms: u64, id: &str) -> Duration {
    let ceiling = (1_u64 << attempt.min(6)).min(max_ms) * 1_000;
    Duration::from_micros(xxh3_64_with_seed(id.as_bytes(), u64::from(attempt)) % ceiling.max(1))
}
