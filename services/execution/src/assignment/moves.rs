//! Answers those who asked for a task to be moved: at once where nothing has to be waited for, and otherwise when the new
//! holder's heartbeat shows that its copy has read the new epoch.

use crate::model::assignment::assigner::Assigner;
use async_nats::{Client, Subject};
use holdfast_schemas::message::{Assignment, AssignmentMoveReply, AssignmentMoveRequest, ErrorReply};
use holdfast_schemas::{ErrorCode, Message};
use std::collections::BTreeMap;

/// How long the new holder may take to show that it knows.
const CONFIRM_MS_MAX: u64 = 5_000;

/// How often a request is judged: again when somebody else wrote in between, or writes at that moment.
pub const ATTEMPTS_MAX: u32 = 8;

/// A request that is being carried out.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Where the answer goes.
    pub reply: Subject,
    /// Whose task.
    pub group: String,
    /// What was asked for.
    pub request: AssignmentMoveRequest,
    /// How often it was judged.
    pub attempts: u32,
}

/// A request that waits for the new holder.
struct Waiting {
    reply: Subject,
    answer: AssignmentMoveReply,
    until_ms: u64,
}

/// The requests that wait.
#[derive(Default)]
pub struct Waiters {
    waiting: Vec<Waiting>,
}

impl Waiters {
    /// Answers once the holder shows the epoch, or the time is over.
    pub fn add(&mut self, reply: Subject, assignment: Assignment, previous: Option<String>, now_ms: u64) {
        let answer = AssignmentMoveReply { assignment, previous };
        self.waiting.push(Waiting { reply, answer, until_ms: now_ms + CONFIRM_MS_MAX });
    }

    /// The answers that are due.
    pub fn due(&mut self, assigners: &BTreeMap<String, Assigner>, now_ms: u64) -> Vec<(Subject, Vec<u8>)> {
        let shown = |waiting: &Waiting| {
            let assignment = &waiting.answer.assignment;
            let assigner = assigners.get(&assignment.group);
            assigner.is_some_and(|assigner| {
                assignment.csp.as_deref().is_some_and(|csp| assigner.shows(csp, assignment.epoch))
            })
        };
        let due = self.waiting.extract_if(.., |waiting| shown(waiting) || now_ms >= waiting.until_ms);
        due.map(|waiting| {
            let body = if shown(&waiting) { waiting.answer.encode() } else { unconfirmed(&waiting.answer.assignment) };
            (waiting.reply, body)
        })
        .collect()
    }

    /// The answers of those for which there is no time left.
    pub fn give_up(&mut self) -> Vec<(Subject, Vec<u8>)> {
        let waiting = self.waiting.drain(..);
        waiting.map(|waiting| (waiting.reply, unconfirmed(&waiting.answer.assignment))).collect()
    }
}

/// The bucket has it, and the holder has not shown it.
fn unconfirmed(assignment: &Assignment) -> Vec<u8> {
    let message = format!(
        "{} was given the task in epoch {} and has not shown it yet; `holdfast task list` and the heartbeats of the copies \
         show when it does; asked again, nothing is done twice",
        assignment.csp.as_deref().unwrap_or("nobody"),
        assignment.epoch
    );
    refusal(ErrorCode::OutcomeUnknown, message)
}

/// An error as an answer.
pub fn refusal(code: ErrorCode, message: impl Into<String>) -> Vec<u8> {
    ErrorReply::new(None, code, message).encode()
}

/// Sends an answer.
pub async fn answer(client: Client, reply: Subject, body: Vec<u8>) {
    if let Err(error) = client.publish(reply, body.into()).await {
        tracing::warn!(%error, "an answer could not be handed to the connection");
    }
}
