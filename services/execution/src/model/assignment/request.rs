//! May a task be moved because somebody asks for it? The one way by which a holder in good health loses a task.

use super::assigner::{Assigner, Now, Write};
use super::candidate::Unfit;
use super::choose;
use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::{Assignment, AssignmentMoveRequest, TASK_REPLICATION};

/// What follows from a request that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It is as asked for already.
    Held(Assignment),
    /// This is to be written.
    Write(Write),
}

/// Why a task is not moved. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Every CSP of the group takes updates.
    #[error("a peer group has no primary: every CSP takes updates, so there is nothing to move")]
    NoPrimary,
    /// The group has no such task.
    #[error("the group has no task {task:?}; its tasks: {tasks}")]
    UnknownTask {
        /// What was asked for.
        task: String,
        /// What there is.
        tasks: String,
    },
    /// The group has no such CSP.
    #[error("the group has no CSP {csp:?}; its CSPs: {csps}")]
    UnknownCsp {
        /// What was asked for.
        csp: String,
        /// What there is.
        csps: String,
    },
    /// That CSP cannot take it now.
    #[error("{csp} {reason}, so it cannot take a task now: wait until it is available, or name another CSP")]
    Unfit {
        /// Which.
        csp: String,
        /// Why not.
        reason: Unfit,
    },
    /// No other CSP can take it now.
    #[error("no other CSP can take the task now: wait until one is available")]
    Nobody,
    /// Another change of the task is under way.
    #[error("the task is being assigned at this moment: look who holds it, and ask again")]
    Busy,
    /// No copy has said yet which epoch it is in.
    #[error("no copy has said yet who is primary: wait until one has read its log")]
    NotBegun,
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoPrimary => ErrorCode::Unsupported,
            Self::UnknownTask { .. } | Self::UnknownCsp { .. } => ErrorCode::NotFound,
            Self::Unfit { .. } | Self::Nobody | Self::NotBegun => ErrorCode::Unavailable,
            Self::Busy => ErrorCode::Conflict,
        }
    }
}

impl Assigner {
    /// Judges a request.
    pub fn asked(&self, request: &AssignmentMoveRequest, now: Now) -> Result<Asked, Refusal> {
        let task = self.group.task(&request.task).ok_or_else(|| self.unknown_task(&request.task))?;
        if self.ledger.is_writing(&task.name) {
            return Err(Refusal::Busy);
        }
        let standing = self.standing(task).ok_or(Refusal::NotBegun)?;
        let csp = match &request.csp {
            Some(csp) if !self.group.has(csp) => return Err(self.unknown_csp(csp)),
            Some(csp) => csp.as_str(),
            None => choose::best(&self.group, &self.ledger, task, standing.holder, now.monotonic_ms)
                .ok_or(Refusal::Nobody)?,
        };
        match self.ledger.assignment(&task.name) {
            Some(present) if standing.holder == Some(csp) && present.csp.as_deref() == Some(csp) => {
                return Ok(Asked::Held(present.clone()));
            }
            _ => {}
        }
        let candidate = self.group.candidate(csp).ok_or(Unfit::Silent);
        candidate
            .and_then(|candidate| candidate.fit(self.group.policy(), now.monotonic_ms))
            .map_err(|reason| Refusal::Unfit { csp: csp.to_owned(), reason })?;
        Ok(Asked::Write(self.change(task, csp, standing, "asked for".to_owned(), now)))
    }

    fn unknown_task(&self, task: &str) -> Refusal {
        if task == TASK_REPLICATION && !self.group.has_primary() {
            return Refusal::NoPrimary;
        }
        let names: Vec<_> = self.group.tasks().iter().map(|task| task.name.as_str()).collect();
        Refusal::UnknownTask { task: task.to_owned(), tasks: names.join(", ") }
    }

    fn unknown_csp(&self, csp: &str) -> Refusal {
        Refusal::UnknownCsp { csp: csp.to_owned(), csps: self.group.csps().collect::<Vec<_>>().join(", ") }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
