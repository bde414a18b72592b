//! How execution keeps track of what it forwarded, and who holds which task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, Kind, Message};
use crate::error_code::ErrorCode;
use crate::name::{self, NameKind};

/// A CSP tells an instance of execution which of the requests that this forwarded are done with. One note for many.
///
/// A note can be lost. What was done is then sent to another CSP under its id, which finds the first outcome; what was begun does not
/// count against the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Completions {
    /// The group.
    pub group: String,
    /// The CSP.
    pub csp: String,
    /// Numbers of the requests that were answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<u64>,
    /// Requests that were not answered, and are to be sent elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returned: Vec<Returned>,
    /// Numbers of requests that a CSP before was lost with, and that this one begins to carry out now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<u64>,
}

impl Message for Completions {
    const TYPE: &'static str = "io.holdfast.execution.v1.completions";
    const KIND: Kind = Kind::Event;
}

/// A request that a CSP gives back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Returned {
    /// Its number.
    pub number: u64,
    /// Why the CSP did not answer it.
    pub code: ErrorCode,
}

/// An instance of execution says that it lives. Of all that do, the one with the least name assigns tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// Who; differs after every start of the process.
    pub instance: String,
}

impl Message for Presence {
    const TYPE: &'static str = "io.holdfast.execution.v1.presence";
    const KIND: Kind = Kind::Event;
}

/// The task of being primary.
pub const TASK_REPLICATION: &str = "replication";

/// Which CSP holds a task: the value in the assignments bucket, and the event when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assignment {
    /// The group.
    pub group: String,
    /// The task.
    pub task: String,
    /// The CSP that holds it; none while no CSP can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csp: Option<String>,
    /// Grows with every assignment. For [`TASK_REPLICATION`] it is the epoch of the log: entries of a lower one are void.
    pub epoch: u64,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why it was assigned, in words.
    pub cause: String,
    /// The epoch in which the task last moved because its holder was gray; none if it never did. Later assignments carry it
    /// on, so that whoever assigns knows how lately that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gray_epoch: Option<u64>,
}

impl Message for Assignment {
    const TYPE: &'static str = "io.holdfast.execution.v1.assignment";
    const KIND: Kind = Kind::Event;
}

/// Asks execution to hand a task to another CSP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignmentMoveRequest {
    /// The task.
    #[serde(default = "replication_task")]
    pub task: String,
    /// The CSP that is to hold it; the best one if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csp: Option<String>,
}

fn replication_task() -> String {
    TASK_REPLICATION.to_owned()
}

impl Message for AssignmentMoveRequest {
    const TYPE: &'static str = "io.holdfast.execution.v1.assignment_move_request";
    const KIND: Kind = Kind::Request;

    fn check(&self) -> Result<(), DecodeError> {
        let refused = |field, error: name::InvalidName| DecodeError::refused(field, format!("is refused: {error}"));
        name::validate(NameKind::Task, &self.task).map_err(|error| refused("task", error))?;
        match &self.csp {
            Some(csp) => name::validate(NameKind::Csp, csp).map_err(|error| refused("csp", error)),
            None => Ok(()),
        }
    }
}

/// The task has its new holder, and the holder knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AssignmentMoveReply {
    /// As it is now.
    pub assignment: Assignment,
    /// Who held it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

impl Message for AssignmentMoveReply {
    const TYPE: &'static str = "io.holdfast.execution.v1.assignment_move_reply";
    const KIND: Kind = Kind::Reply;
}
