//! What this CSP is told to do: shut down, go into maintenance, come back.

use std::sync::Arc;
use std::time::Duration;

use holdfast_schemas::message::{ControlAction, ControlReply, ControlRequest, CspState, ErrorReply};
use holdfast_schemas::{ErrorCode, Message as _};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::info;

use super::answer::{Asked, answer_error};
use super::open_transactions::aborted;
use crate::heartbeat;
use crate::member::Member;

/// How often a CSP that drains looks whether it is done.
const LOOK: Duration = Duration::from_millis(5);

/// How long a CSP that drains, or stops, waits while nothing but queries is under way. Where nobody else is available it gets ever new
/// ones (execution's `Roster::candidates`); in maintenance it gets none, and answers those that it has.
const QUERIES_MAX: Duration = Duration::from_secs(2);

/// How long a CSP that drains waits for transactions that are open there, once all else is handed over and answered.
const OPEN_TRANSACTIONS_MAX: Duration = Duration::from_secs(20);

/// Does what it is told, and answers that it begins to.
pub async fn control(member: &Arc<Member>, asked: Asked, stop: &Notify) {
    let action = match ControlRequest::decode(&asked.payload) {
        Ok(request) => request.action,
        Err(error) => return answer_error(&asked, member, ErrorReply::from(&error)).await,
    };
    match action {
        ControlAction::Shutdown => stop.notify_one(),
        ControlAction::Drain => {
            if member.change_state(CspState::Available, CspState::Draining) {
                heartbeat::send_now(member).await;
                tokio::spawn(drained(Arc::clone(member)));
            } else if !matches!(member.state(), CspState::Draining | CspState::Maintenance) {
                return answer_error(&asked, member, not_now(member, "drained")).await;
            }
        }
        ControlAction::Resume => {
            let resumes = member.change_state(CspState::Maintenance, CspState::Available)
                || member.change_state(CspState::Draining, CspState::Available);
            if resumes {
                heartbeat::send_now(member).await;
            } else if member.state() != CspState::Available {
                return answer_error(&asked, member, not_now(member, "resumed")).await;
            }
        }
    }
    asked.answer(member, ControlReply { action }.encode()).await;
}

fn not_now(member: &Member, what: &str) -> ErrorReply {
    let message = format!("this CSP is {} and cannot be {what} now: look again in a moment", member.state());
    ErrorReply::new(None, ErrorCode::Unavailable, message)
}

/// Whether everything is answered, or nothing but queries was left for long; `only_queries` keeps since when that is so.
pub fn has_answered_all(member: &Member, only_queries: &mut Option<Instant>) -> bool {
    if !member.has_only_queries() || member.shared.locks.waiting() > 0 {
        *only_queries = None;
        return false;
    }
    member.outstanding() == 0 || only_queries.get_or_insert_with(Instant::now).elapsed() >= QUERIES_MAX
}

/// Waits until the CSP has handed over and answered everything; it is in maintenance then. Open transactions go on meanwhile, and
/// commit through the next primary; the ones that are still open after a while are aborted.
async fn drained(member: Arc<Member>) {
    let mut without_others = None;
    let mut only_queries = None;
    while member.state() == CspState::Draining {
        if !member.is_primary() && has_answered_all(&member, &mut only_queries) {
            if member.transactions.count() == 0 {
                if member.change_state(CspState::Draining, CspState::Maintenance) {
                    info!(
                        csp = member.identity.csp,
                        position = member.shared.view.position(),
                        "drained, in maintenance"
                    );
                    heartbeat::send_now(&member).await;
                }
                return;
            }
            if without_others.get_or_insert_with(Instant::now).elapsed() >= OPEN_TRANSACTIONS_MAX {
                let waited_s = OPEN_TRANSACTIONS_MAX.as_secs();
                let why = aborted(&format!("its CSP was drained, and waited {waited_s} s for it"));
                let ids = member.transactions.abort_idle(&why);
                info!(
                    csp = member.identity.csp,
                    count = ids.len(),
                    "open transactions were aborted, because the CSP drains"
                );
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
