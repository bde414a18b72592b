//! What all requests share: who asked, until when, and how the answer leaves.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;
use holdfast_datastore::StatementError;
use holdfast_foundation::clock::since_boot_ms;
use holdfast_schemas::header::{self, TimeLeft};
use holdfast_schemas::message::{CspState, ErrorReply, UpdateRefusal};
use holdfast_schemas::{ErrorCode, Message as _, limits};
use holdfast_storage::request::Request;
use holdfast_storage::{CommitFailure, LogFault};
use tokio::time::Instant;
use tracing::{error, warn};

use super::route::Route;
use crate::member::Member;

/// A request that was delivered to this CSP.
pub struct Asked {
    /// Where the answer goes.
    pub reply: Option<Subject>,
    /// Headers that routing added.
    pub headers: HeaderMap,
    /// The body.
    pub payload: Bytes,
    /// Who forwarded it, to be told when it is done with.
    pub route: Option<Route>,
}

impl From<Message> for Asked {
    fn from(message: Message) -> Self {
        let headers = message.headers.unwrap_or_default();
        let route = headers.get(header::ROUTE).and_then(|route| Route::parse(route.as_str()));
        Self { reply: message.reply, headers, payload: message.payload, route }
    }
}

impl Asked {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    /// The id that routing gave, if any.
    pub fn routed_id(&self) -> Option<String> {
        self.header(header::ID).filter(|id| !id.is_empty() && id.len() <= limits::MAX_ID_BYTES).map(str::to_owned)
    }

    /// When the answer stops mattering: by the time that routing says is left, else by what the body says, else by the default.
    pub fn deadline(&self, member: &Member, deadline_ms: Option<u64>) -> Instant {
        let routed = self.header(header::TIME_LEFT).and_then(TimeLeft::parse);
        let left_ms = match routed {
            Some(time_left @ TimeLeft { sent_at: Some(_), .. }) => {
                left_ms(time_left, member.gateway.origin().incarnation, since_boot_ms())
            }
            // Nobody says when it was sent: it may have come while this process stood still.
            other => {
                let said_ms = other.map(|time_left| time_left.left_ms).or(deadline_ms);
                said_ms.unwrap_or(limits::DEFAULT_DEADLINE_MS).saturating_sub(member.pauses.lain_ms())
            }
        };
        Instant::now() + Duration::from_millis(left_ms.min(limits::MAX_DEADLINE_MS))
    }

    /// Whether a CSP before was lost with it, which may have carried it out.
    pub fn is_recovery(&self) -> bool {
        self.header(header::DISPOSITION) == Some(header::DISPOSITION_RECOVERY)
    }

    /// If a CSP before was lost with it, says that it is begun now.
    pub async fn begin(&self, member: &Member) {
        if self.is_recovery()
            && let Some(route) = &self.route
        {
            member.notes.begin(route).await;
        }
    }

    /// Sends the answer, and notes behind it that the request is done with.
    pub async fn answer(&self, member: &Member, body: impl Into<Bytes>) {
        let mut body = body.into();
        let (bytes, limit) = (body.len(), member.answer_bytes_max());
        if bytes > limit {
            // Whoever asks gets an answer, whatever it is that grew so large.
            body = answer_too_large(None, bytes, limit).encode().into();
        }
        if let Some(reply) = self.reply.clone()
            && let Err(cause) = member.client.publish(reply, body).await
        {
            // Whoever asked runs into a time-out and asks again under the same id.
            warn!(group = member.identity.group, csp = member.identity.csp, error = %cause, "an answer could not be sent");
        }
        if let Some(route) = self.route.clone() {
            member.notes.done(route);
        }
    }

    /// Does not answer: execution sends the request elsewhere. Where it did not come from there, the client is told.
    pub async fn give_back(&self, member: &Member, error: ErrorReply) {
        match self.route.clone() {
            Some(route) => member.notes.give_back(route, error.error.code),
            None => answer_error(self, member, error).await,
        }
    }
}

/// How far a sender may be wrong about our clock. It errs on the early side, unless our clock stood still with the machine.
const AHEAD_MAX_MS: u64 = 1_000;

/// How much of its time a message has, whose way and whose wait in some inbox took a part of it. Nobody knows how long one
/// lay that was sent to another process under this name, or from a moment that is still to come: it has none.
fn left_ms(time_left: TimeLeft<'_>, incarnation: u64, clock_ms: u64) -> u64 {
    let Some(sent_at) = time_left.sent_at else { return time_left.left_ms };
    let is_ours = sent_at.incarnation.parse() == Ok(incarnation) && sent_at.clock_ms <= clock_ms + AHEAD_MAX_MS;
    if is_ours { time_left.left_ms.saturating_sub(clock_ms.saturating_sub(sent_at.clock_ms)) } else { 0 }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    holdfast_foundation::clock::wall_ms()
}

/// Why this CSP takes no request now; none when it does.
pub fn refusal(member: &Member, id: &str, deadline: Instant) -> Option<ErrorReply> {
    if Instant::now() >= deadline {
        // It may have waited in the inbox of a process that was stopped, for longer than ids are kept: never begin it.
        let message = "its deadline passed before the work began, and nothing was done: send it again, with more time";
        return Some(ErrorReply::new(Some(id.to_owned()), ErrorCode::DeadlineExceeded, message));
    }
    let (code, message) = match member.state() {
        // Draining is up to routing: what arrives all the same is answered, so that nobody is kept waiting.
        CspState::Available | CspState::Draining => return None,
        CspState::Quarantined => match member.shared.standing.parted() {
            Some(UpdateRefusal { code, reason, .. }) => (code, not_written(&reason)),
            None => (ErrorCode::Quarantined, "this copy was set aside: another CSP answers".to_owned()),
        },
        state => (ErrorCode::Unavailable, format!("this CSP is {state}: send the request again in a moment")),
    };
    Some(ErrorReply::new(Some(id.to_owned()), code, message))
}

/// Why this CSP takes no update now because of its log; none when it does.
pub fn log_refusal(member: &Member, id: &str) -> Option<ErrorReply> {
    let UpdateRefusal { code, reason, .. } = member.shared.standing.refusal()?;
    Some(ErrorReply::new(Some(id.to_owned()), code, not_written(&reason)))
}

fn not_written(reason: &str) -> String {
    format!("{reason}. Nothing was written, and queries of consistency `any` are answered")
}

/// The error that a client is told, from what went wrong. The log's own word is more exact than SurrealDB's.
pub fn error_reply(id: &str, request: &Request, error: &StatementError) -> ErrorReply {
    let reply = |code, message: String| ErrorReply::new(Some(id.to_owned()), code, message);
    if let Some(failure) = request.failure() {
        return failure_reply(id, failure);
    }
    match error {
        StatementError::Parse(message) => reply(ErrorCode::InvalidSql, message.clone()),
        StatementError::TransactionStatement(_) => reply(ErrorCode::TransactionStatement, error.to_string()),
        StatementError::Unsupported(_) => reply(ErrorCode::Unsupported, error.to_string()),
        StatementError::ReadOnly => reply(ErrorCode::ReadOnly, error.to_string()),
        // Of the state that the statement saw: this copy may have gone on since, and know now what it did not know then.
        StatementError::Statement { index, message } => {
            let failed = reply(ErrorCode::StatementFailed, message.clone()).at_statement(*index);
            failed.at_position(request.snapshot_position())
        }
        StatementError::Panicked(_) => {
            reply(ErrorCode::StatementFailed, format!("{error}, and nothing was written: change it"))
        }
        StatementError::Conflict(_) => reply(ErrorCode::Conflict, error.to_string()),
        StatementError::TooLarge => reply(ErrorCode::TransactionTooLarge, format!("{error}: {IN_PORTIONS}")),
        StatementError::ResultsTooLarge { bytes, limit } => answer_too_large(Some(id), *bytes, *limit),
        StatementError::TooMuchMemory => {
            let message = format!(
                "{error}, and nothing was written: let them build less at a time, with LIMIT and START, with fewer fields, or in \
                 several requests"
            );
            reply(ErrorCode::StatementTooLarge, message)
        }
        StatementError::Deadline => reply(ErrorCode::DeadlineExceeded, format!("{error}: nothing was written")),
        StatementError::Storage(_) => {
            let message = format!("{error}: nothing was done, and another CSP can: send it again in a moment");
            reply(ErrorCode::Unavailable, message)
        }
        StatementError::ShuttingDown => reply(ErrorCode::ShuttingDown, error.to_string()),
        StatementError::OutcomeUnknown(_) => {
            reply(ErrorCode::OutcomeUnknown, format!("{error}: ask again with the same id"))
        }
        StatementError::Failed(message) => reply(ErrorCode::Internal, message.clone()),
    }
}

/// What to do with a transaction that is too large.
const IN_PORTIONS: &str = "nothing was written. Do it in portions, each an update of its own that returns nothing, until nothing \
                           is left: for example DELETE (SELECT VALUE id FROM person LIMIT 20000) RETURN NONE before REMOVE TABLE \
                           person, or UPDATE person:1..=20000 SET ... RETURN NONE";

/// The error of a query whose results do not fit into one message.
fn answer_too_large(id: Option<&str>, bytes: usize, limit: usize) -> ErrorReply {
    let message = format!(
        "the results have {bytes} bytes or more, and an answer holds {limit}: ask for less at a time, with LIMIT and START or \
         with a range of ids, or for fewer fields"
    );
    let details = serde_json::json!({ "bytes": bytes, "limit": limit });
    ErrorReply::new(id.map(str::to_owned), ErrorCode::AnswerTooLarge, message).with_details(details)
}

/// Takes note of an error that is the copy's: the others are told, and take over what it does. `request` has the log's own word,
/// which would be the truth.
pub async fn note_storage(member: &Member, request: &Request, error: &StatementError) {
    if let StatementError::Storage(cause) = error
        && request.failure().is_none()
        && member.set_storage_error(cause.clone())
    {
        error!(group = member.identity.group, csp = member.identity.csp, cause, "the storage of this copy fails");
        crate::heartbeat::send_now(member).await;
    }
}

/// The error that a client is told when the log, or the copy on its behalf, refused.
pub fn failure_reply(id: &str, failure: &CommitFailure) -> ErrorReply {
    let message = match failure {
        CommitFailure::LockLost { .. } => format!("{failure}, and nothing was written: acquire it anew"),
        CommitFailure::TooLarge { .. } => format!("{failure}: {IN_PORTIONS}"),
        CommitFailure::LogRefused { .. } => not_written(&failure.to_string()),
        _ => failure.to_string(),
    };
    ErrorReply::new(Some(id.to_owned()), failure_code(failure), message)
}

fn failure_code(failure: &CommitFailure) -> ErrorCode {
    match failure {
        CommitFailure::Conflict { .. } | CommitFailure::Contended => ErrorCode::Conflict,
        CommitFailure::TooOld => ErrorCode::TransactionTooOld,
        CommitFailure::Duplicate { .. } => ErrorCode::AlreadyExists,
        CommitFailure::TooLarge { .. } => ErrorCode::TransactionTooLarge,
        CommitFailure::LockLost { .. } => ErrorCode::LockLost,
        CommitFailure::NotPrimary => ErrorCode::NotPrimary,
        CommitFailure::Unavailable(_) => ErrorCode::LogUnavailable,
        CommitFailure::LogRefused { fault: LogFault::Refuses, .. } => ErrorCode::LogUnavailable,
        CommitFailure::LogRefused { fault: LogFault::Lost, .. } => ErrorCode::LogLost,
        CommitFailure::LogRefused { fault: LogFault::Mismatch, .. } => ErrorCode::LogMismatch,
        CommitFailure::ShuttingDown => ErrorCode::ShuttingDown,
        CommitFailure::OutcomeUnknown(_) => ErrorCode::OutcomeUnknown,
    }
}

/// Answers a request, or gives it back. What this CSP could not do says nothing of attempts elsewhere, of which execution
/// knows, so it has the last word on it, also behind the deadline. An unknown outcome is told as such then: nobody would ask
/// another CSP for it any more.
pub async fn conclude(
    asked: &Asked,
    member: &Member,
    outcome: Result<impl Into<Bytes>, ErrorReply>,
    deadline: Instant,
) {
    match outcome {
        Ok(body) => asked.answer(member, body).await,
        Err(error) if error.error.code == ErrorCode::OutcomeUnknown && Instant::now() >= deadline => {
            answer_error(asked, member, error).await;
        }
        Err(error) if is_for_another(error.error.code) => asked.give_back(member, error).await,
        Err(error) => answer_error(asked, member, error).await,
    }
}

/// Whether another CSP, or this one a moment later, can answer what this one cannot. An outcome that is unknown here is known
/// to whoever looks for its id in the log.
fn is_for_another(code: ErrorCode) -> bool {
    use ErrorCode::{NotPrimary, OutcomeUnknown, Quarantined, ShuttingDown, Unavailable};
    matches!(code, NotPrimary | OutcomeUnknown | Quarantined | ShuttingDown | Unavailable)
}

/// Answers with an error, and says how far this copy is, where the error does not say what state it saw.
pub async fn answer_error(asked: &Asked, member: &Member, error: ErrorReply) {
    let error = match error.error.position {
        Some(_) => error,
        None => error.at_position(member.shared.view.position()),
    };
    asked.answer(member, error.encode()).await;
}

/// Waits until this copy has applied everything that was acknowledged anywhere before this call: a place in the log is
/// taken and waited for. False if that was not done by the deadline.
pub async fn barrier(member: &Arc<Member>, deadline: Instant) -> bool {
    let (answer, passed) = tokio::sync::oneshot::channel();
    let began = Instant::now();
    member.gateway.submit(crate::log::Submission::Barrier(answer));
    let is_passed = matches!(tokio::time::timeout_at(deadline, passed).await, Ok(Ok(_)));
    if is_passed {
        member.shared.freshness.proved(began);
    }
    is_passed
}

#[cfg(test)]
mod tests {
    use holdfast_schemas::header::SentAt;

    use super::*;

    #[test]
    fn a_message_that_lay_for_longer_than_its_time_has_none() {
        let sent_at =
            |clock_ms, incarnation| TimeLeft { left_ms: 5_000, sent_at: Some(SentAt { clock_ms, incarnation }) };
        assert_eq!(left_ms(TimeLeft { left_ms: 5_000, sent_at: None }, 7, 1), 5_000);
        assert_eq!(left_ms(sent_at(100, "7"), 7, 100), 5_000);
        assert_eq!(left_ms(sent_at(100, "7"), 7, 1_300), 3_800);
        for lain_ms in [5_000, 5_001, 3_600_000] {
            assert_eq!(left_ms(sent_at(100, "7"), 7, 100 + lain_ms), 0);
        }
        assert_eq!(left_ms(sent_at(100, "6"), 7, 100), 0, "it was sent to the process before this one");
        assert_eq!(left_ms(sent_at(1_100, "7"), 7, 100), 5_000, "a sender may be a little wrong");
        assert_eq!(left_ms(sent_at(1_101, "7"), 7, 100), 0, "it cannot come before it was sent");
    }
}
