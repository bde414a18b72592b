//! `holdfast status`: every copy of a group, and its log.

use holdfast_schemas::{
    message::{CspView, GroupStatusReply, Replication, TASK_REPLICATION},
    subject,
};

use crate::{
    arguments::StatusOptions,
    client::Client,
    error::CliError,
    output::{
        self, Reader,
        table::{bytes, grouped, table},
    },
};

/// Asks administration and prints what it knows.
///
/// # Errors
/// Administration does not answer, or knows no such group.
pub async fn run(options: &StatusOptions, reader: Reader) -> Result<(), CliError> {
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let status = client.group_status(&options.target.group).await?;
    match reader {
        Reader::Program => output::message(&status),
        Reader::Person => output::line(&human(&status)),
    }
}

fn human(status: &GroupStatusReply) -> String {
    let mut shown = table(&["csp", "state", "role", "tasks", "applied", "lag", "node", "address", "heard", "clock"]);
    for csp in &status.csps {
        shown.add_row(row(csp, status));
    }
    let mut lines = vec![head(status), shown.to_string(), log_line(status)];
    if let Some(refusal) = &status.updates_refused {
        lines.push(format!("updates are refused ({}): {}", refusal.code, refusal.reason));
    }
    for csp in &status.csps {
        let of_group = status.updates_refused.as_ref().map(|refusal| &refusal.reason);
        if let Some(reason) = csp.reason.as_ref().filter(|reason| Some(*reason) != of_group) {
            lines.push(format!("{} is {}: {reason}", csp.csp, csp.state));
        }
        lines.extend(csp.clock_ahead_ms.and_then(|ahead_ms| clock_warning(&csp.csp, ahead_ms)));
    }
    lines.join("\n")
}

/// A clock that differs by less is as good as any: it is not measured more exactly over a network.
const CLOCK_FAR_MS: u64 = 500;

/// A clock, beside those of the others.
fn clock(ahead_ms: i64) -> String {
    match ahead_ms {
        -9..=9 => "right".to_owned(),
        _ => format!("{}{}", if ahead_ms < 0 { "-" } else { "+" }, span(ahead_ms.unsigned_abs())),
    }
}

fn clock_warning(csp: &str, ahead_ms: i64) -> Option<String> {
    let (far_ms, side) = (ahead_ms.unsigned_abs(), if ahead_ms < 0 { "behind" } else { "ahead of" });
    let text = format!("warning: the clock of {csp} is {} {side} those of the others: set it", span(far_ms));
    (far_ms >= CLOCK_FAR_MS).then_some(text)
}

/// Milliseconds, or seconds where those are many.
fn span(ms: u64) -> String {
    if ms < 10_000 { format!("{} ms", grouped(ms)) } else { format!("{} s", grouped(ms / 1_000)) }
}

fn head(status: &GroupStatusReply) -> String {
    let definition = &status.definition;
    format!(
        "group {}: {:?} replication, {:?} isolation, {:?} storage",
        definition.name, definition.replication, definition.isolation, definition.storage
    )
    .to_lowercase()
}

fn row(csp: &CspView, status: &GroupStatusReply) -> Vec<String> {
    let role = match (status.definition.replication, csp.primary) {
        (Replication::Peer, _) => "peer",
        (_, true) => "primary",
        (_, false) => "subscriber",
    };
    vec![
        csp.csp.clone(),
        csp.state.to_string(),
        role.to_owned(),
        tasks(csp, status),
        if_heard(csp, csp.applied),
        if_heard(csp, csp.lag),
        csp.node.clone().unwrap_or_else(|| "-".to_owned()),
        csp.address.clone().unwrap_or_else(|| subject::csp_all(&status.definition.name, &csp.csp)),
        csp.last_heartbeat_ms_ago.map_or("no answer", |_| "answers").to_owned(),
        csp.clock_ahead_ms.map_or_else(|| "-".to_owned(), clock),
    ]
}

/// A number that only the copy itself can tell.
fn if_heard(csp: &CspView, number: u64) -> String {
    csp.last_heartbeat_ms_ago.map_or_else(|| "-".to_owned(), |_| grouped(number))
}

/// The group's own tasks that this copy holds; that of being primary is its role.
fn tasks(csp: &CspView, status: &GroupStatusReply) -> String {
    let held = status.assignments.iter().filter(|assignment| assignment.csp.as_deref() == Some(&csp.csp));
    let names: Vec<_> = held.map(|held| held.task.as_str()).filter(|task| *task != TASK_REPLICATION).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

fn log_line(status: &GroupStatusReply) -> String {
    let log = &status.log;
    let servers = if log.replicas == 1 { "server" } else { "servers" };
    let junk = match log.junk {
        0 => String::new(),
        count => format!(
            "; {} of its messages are no entries of this group and were passed over: somebody else writes to {}",
            grouped(count),
            subject::log(&status.definition.name)
        ),
    };
    format!(
        "log: entries {} to {}, {}, kept by {} {servers}{junk}",
        grouped(log.first),
        grouped(log.last),
        bytes(log.bytes),
        log.replicas
    )
}

#[cfg(test)]
mod tests {
    use holdfast_schemas::ErrorCode;
    use holdfast_schemas::message::{
        Assignment, CspState, CspView, GroupDefinition, GroupStatusReply, LogView, UpdateRefusal,
    };

    #[test]
    fn every_copy_has_a_line() {
        let csp = |name: &str, primary, heard| CspView {
            csp: name.into(),
            state: if primary { CspState::Available } else { CspState::Unavailable },
            applied: 1_234,
            lag: 0,
            epoch: 1,
            address: primary.then(|| "holdfast.demo.csp.csp-1".into()),
            node: None,
            primary,
            last_heartbeat_ms_ago: heard,
            reason: (!primary).then(|| "its log is another one".into()),
            clock_ahead_ms: heard.map(|_| -3_600_123),
        };
        let holds = |task: &str, csp: &str| Assignment {
            group: "demo".into(),
            task: task.into(),
            csp: Some(csp.into()),
            epoch: 1,
            since_ms: 0,
            cause: String::new(),
            gray_epoch: None,
        };
        let text = super::human(&GroupStatusReply {
            definition: GroupDefinition::new("demo", ["csp-1", "csp-2"]),
            csps: vec![csp("csp-1", true, Some(12)), csp("csp-2", false, None)],
            log: LogView { first: 1, last: 1_234, bytes: 2_048, replicas: 1, junk: 3 },
            assignments: vec![holds("replication", "csp-1"), holds("report", "csp-1")],
            updates_refused: Some(UpdateRefusal {
                code: ErrorCode::LogUnavailable,
                reason: "the log takes no entries".into(),
                stalled: false,
            }),
        });
        let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(line("csp-1").contains("primary") && line("csp-1").contains("1,234"), "{text}");
        assert!(line("csp-1").contains("answers"), "{text}");
        assert!(line("csp-1").contains("report") && !line("csp-1").contains("replication"), "{text}");
        assert!(line("csp-2").contains("unavailable") && line("csp-2").contains("no answer"), "{text}");
        assert!(!line("csp-2").contains("1,234"), "a copy that does not answer is at no position: {text}");
        assert!(line("csp-1").contains("-3,600 s"), "{text}");
        assert!(text.contains("warning: the clock of csp-1 is 3,600 s behind those of the others: set it"), "{text}");
        assert!(text.contains("updates are refused (log_unavailable): the log takes no entries"), "{text}");
        assert!(text.contains("csp-2 is unavailable: its log is another one"), "{text}");
        assert!(text.contains("entries 1 to 1,234, 2.0 KiB, kept by 1 server; 3 of its messages"), "{text}");
    }
}
