//! `holdfast primary` and `holdfast task`: who holds which task, and handing it to another copy.

use std::time::Duration;

use holdfast_schemas::{
    Message as _,
    message::{Assignment, AssignmentMoveReply, AssignmentMoveRequest, GroupStatusReply, TASK_REPLICATION},
    subject,
};

use crate::{
    arguments::{
        Target,
        task::{MoveOptions, TaskListOptions, TaskMoveOptions},
    },
    client::Client,
    error::CliError,
    output::{self, Reader, table::table},
};

/// Hands the task of being primary to another copy, and returns when that copy acts.
///
/// Asked twice, nothing is done twice: a copy that is primary stays it.
///
/// # Errors
/// Execution refuses or does not answer.
pub async fn move_primary(options: &MoveOptions, reader: Reader) -> Result<(), CliError> {
    let request = AssignmentMoveRequest { task: TASK_REPLICATION.to_owned(), csp: options.csp.clone() };
    hand_over(&options.target, &request, options.timeout_ms, reader).await
}

/// Hands any task to another copy. Asked twice, nothing is done twice.
///
/// # Errors
/// Execution refuses or does not answer.
pub async fn move_task(options: &TaskMoveOptions, reader: Reader) -> Result<(), CliError> {
    let request = AssignmentMoveRequest { task: options.task.clone(), csp: options.csp.clone() };
    hand_over(&options.target, &request, options.timeout_ms, reader).await
}

async fn hand_over(
    target: &Target,
    request: &AssignmentMoveRequest,
    timeout_ms: u64,
    reader: Reader,
) -> Result<(), CliError> {
    request.check().map_err(|error| CliError::Usage(error.to_string()))?;
    let client = Client::connect(target.bus.nats.as_deref()).await?;
    let patience = Duration::from_millis(timeout_ms);
    let reply: AssignmentMoveReply = client.ask(subject::assignment_move(&target.group), request, patience).await?;
    match reader {
        Reader::Program => output::message(&reply),
        Reader::Person => output::line(&moved(&reply)),
    }
}

fn moved(reply: &AssignmentMoveReply) -> String {
    let Assignment { csp, epoch, task, .. } = &reply.assignment;
    let holder = csp.as_deref().unwrap_or("nobody");
    let does = if task == TASK_REPLICATION { "is primary".to_owned() } else { format!("holds {task}") };
    match &reply.previous {
        previous if previous == csp => format!("{holder} {does} already, since epoch {epoch}"),
        Some(previous) => format!("{holder} {does} now, in place of {previous}, from epoch {epoch}"),
        None => format!("{holder} {does} now, from epoch {epoch}"),
    }
}

/// Lists the tasks of a group and who holds them.
///
/// # Errors
/// Administration does not answer, or knows no such group.
pub async fn list(options: &TaskListOptions, reader: Reader) -> Result<(), CliError> {
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let status = client.group_status(&options.target.group).await?;
    match reader {
        Reader::Program => output::json(&status.assignments),
        Reader::Person => output::line(&human(&status)),
    }
}

fn human(status: &GroupStatusReply) -> String {
    if status.assignments.is_empty() {
        return format!("nothing is assigned in group {} yet", status.definition.name);
    }
    let mut shown = table(&["task", "held by", "epoch", "because"]);
    for assignment in &status.assignments {
        shown.add_row([
            assignment.task.clone(),
            assignment.csp.clone().unwrap_or_else(|| "-".to_owned()),
            assignment.epoch.to_string(),
            assignment.cause.clone(),
        ]);
    }
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use holdfast_schemas::message::{Assignment, AssignmentMoveReply, GroupDefinition, GroupStatusReply, LogView};

    fn assignment(csp: &str) -> Assignment {
        Assignment {
            group: "demo".into(),
            task: "replication".into(),
            csp: Some(csp.into()),
            epoch: 7,
            since_ms: 0,
            cause: "asked for".into(),
            gray_epoch: None,
        }
    }

    #[test]
    fn a_move_says_what_changed_and_whether_anything_did() {
        let said = |previous: Option<&str>| {
            let previous = previous.map(str::to_owned);
            super::moved(&AssignmentMoveReply { assignment: assignment("csp-2"), previous })
        };
        assert_eq!(said(Some("csp-1")), "csp-2 is primary now, in place of csp-1, from epoch 7");
        assert_eq!(said(Some("csp-2")), "csp-2 is primary already, since epoch 7");
        assert_eq!(said(None), "csp-2 is primary now, from epoch 7");
        let report = Assignment { task: "report".into(), ..assignment("csp-2") };
        let moved = super::moved(&AssignmentMoveReply { assignment: report, previous: Some("csp-1".into()) });
        assert_eq!(moved, "csp-2 holds report now, in place of csp-1, from epoch 7");
    }

    #[test]
    fn every_task_has_a_line() {
        let mut status = GroupStatusReply {
            definition: GroupDefinition::new("demo", ["csp-1", "csp-2"]),
            csps: Vec::new(),
            log: LogView::default(),
            updates_refused: None,
            assignments: Vec::new(),
        };
        assert!(super::human(&status).contains("nothing is assigned"));
        status.assignments.push(assignment("csp-2"));
        let text = super::human(&status);
        let line = text.lines().find(|line| line.contains("replication")).unwrap();
        assert!(line.contains("csp-2") && line.contains('7') && line.contains("asked for"), "{text}");
    }
}
