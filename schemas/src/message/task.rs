//! A task of a group: a responsibility that one CSP holds at a time, and who is to hold it if there is a choice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Replication, TASK_REPLICATION};
use crate::codec::DecodeError;
use crate::limits::{MAX_PREFERRED_NODES, MAX_TASKS};
use crate::name::{self, NameKind};

/// A task, and the wishes about its holder. A holder in good health keeps the task whatever is wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskDefinition {
    /// Its name. [`TASK_REPLICATION`] stands for being primary, which every primary group has without saying so.
    pub name: String,
    /// Nodes whose CSPs are chosen before others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub prefer_nodes: Vec<String>,
    /// Tasks whose holders should be on other nodes than the holder of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub keep_apart_from: Vec<String>,
}

impl TaskDefinition {
    /// A task without wishes.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), prefer_nodes: Vec::new(), keep_apart_from: Vec::new() }
    }

    fn check(&self) -> Result<(), DecodeError> {
        named(NameKind::Task, &self.name)?;
        if self.prefer_nodes.len() > MAX_PREFERRED_NODES {
            return Err(refused(format!("task {} prefers more than {MAX_PREFERRED_NODES} nodes", self.name)));
        }
        self.prefer_nodes.iter().try_for_each(|node| named(NameKind::Node, node))
    }
}

/// Checks the tasks of one group, beside one another.
pub(super) fn check(tasks: &[TaskDefinition], replication: Replication) -> Result<(), DecodeError> {
    if tasks.len() > MAX_TASKS {
        return Err(refused(format!("must name at most {MAX_TASKS} tasks")));
    }
    for (index, task) in tasks.iter().enumerate() {
        task.check()?;
        let name = &task.name;
        if tasks.iter().take(index).any(|earlier| earlier.name == *name) {
            return Err(refused(format!("names {name:?} twice: name each task once")));
        }
        if name == TASK_REPLICATION && replication == Replication::Peer {
            return Err(refused(format!("names {name:?}, and a peer group has no primary: leave it out")));
        }
        if let Some(other) = task.keep_apart_from.iter().find(|other| !is_other_task(tasks, replication, name, other)) {
            return Err(refused(format!("keeps {name:?} apart from {other:?}: name another task of the group")));
        }
    }
    Ok(())
}

fn is_other_task(tasks: &[TaskDefinition], replication: Replication, name: &str, other: &str) -> bool {
    let built_in = replication == Replication::Primary && other == TASK_REPLICATION;
    name != other && (built_in || tasks.iter().any(|task| task.name == other))
}

fn named(kind: NameKind, name: &str) -> Result<(), DecodeError> {
    name::validate(kind, name).map_err(|error| refused(format!("is refused: {error}")))
}

fn refused(reason: String) -> DecodeError {
    DecodeError::refused("tasks", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(name: &str, others: &[&str]) -> TaskDefinition {
        let keep_apart_from = others.iter().map(|other| (*other).to_owned()).collect();
        TaskDefinition { keep_apart_from, ..TaskDefinition::new(name) }
    }

    #[test]
    fn tasks_that_make_sense_pass() {
        let tasks = [apart("report", &["replication", "billing"]), TaskDefinition::new("billing")];
        assert_eq!(check(&tasks, Replication::Primary), Ok(()));
        assert_eq!(check(&[apart("replication", &["report"]), apart("report", &[])], Replication::Primary), Ok(()));
        assert_eq!(check(&[], Replication::Peer), Ok(()));
    }

    #[test]
    fn tasks_that_make_no_sense_are_refused() {
        let nodes = vec!["n".to_owned(); MAX_PREFERRED_NODES + 1];
        let many = (0..=MAX_TASKS).map(|number| TaskDefinition::new(format!("t{number}"))).collect();
        let cases: [(Vec<TaskDefinition>, &str); 8] = [
            (many, "at most 32"),
            (vec![TaskDefinition::new("a.b")], "task name"),
            (vec![TaskDefinition::new("a"), TaskDefinition::new("a")], "twice"),
            (vec![TaskDefinition { prefer_nodes: nodes, ..TaskDefinition::new("a") }], "more than 32 nodes"),
            (vec![TaskDefinition { prefer_nodes: vec!["*".into()], ..TaskDefinition::new("a") }], "node name"),
            (vec![apart("a", &["a"])], "another task"),
            (vec![apart("a", &["replication"])], "another task"),
            (vec![TaskDefinition::new("replication")], "no primary"),
        ];
        for (tasks, reason) in cases {
            let error = check(&tasks, Replication::Peer).unwrap_err().to_string();
            assert!(error.starts_with("`tasks` ") && error.contains(reason), "{error}");
        }
    }
}
