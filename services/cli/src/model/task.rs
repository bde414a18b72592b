//! `NAME[,prefer=NODE+NODE][,apart=TASK+TASK]`: a task of a group as it is given on the command line.

use holdfast_schemas::message::TaskDefinition;

/// A task that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "--task {task:?}: {part:?} is not understood; write NAME[,prefer=NODE+NODE][,apart=TASK+TASK], for example \
     report,prefer=node-a+node-b,apart=replication"
)]
pub struct UnreadableTask {
    task: String,
    part: String,
}

/// The task, as the definition of a group has it.
///
/// # Errors
/// It is not of that form.
pub fn task(text: &str) -> Result<TaskDefinition, UnreadableTask> {
    let mut parts = text.split(',').map(str::trim);
    let unreadable = |part: &str| UnreadableTask { task: text.to_owned(), part: part.to_owned() };
    let name = parts.next().filter(|name| !name.is_empty() && !name.contains('=')).ok_or_else(|| unreadable(text))?;
    let mut task = TaskDefinition::new(name);
    for part in parts {
        let (wish, names) = part.split_once('=').ok_or_else(|| unreadable(part))?;
        let names = names.split('+').map(|name| name.trim().to_owned());
        match wish.trim() {
            "prefer" => task.prefer_nodes.extend(names),
            "apart" => task.keep_apart_from.extend(names),
            _ => return Err(unreadable(part)),
        }
    }
    Ok(task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_a_name_with_wishes() {
        assert_eq!(task("report").unwrap(), TaskDefinition::new("report"));
        let wished = task("report, prefer=node-a+node-b,apart=replication+billing").unwrap();
        assert_eq!(wished.name, "report");
        assert_eq!(wished.prefer_nodes, ["node-a", "node-b"]);
        assert_eq!(wished.keep_apart_from, ["replication", "billing"]);
    }

    #[test]
    fn what_cannot_be_understood_is_named_with_a_way_to_write_it() {
        for (odd, part) in
            [("", ""), ("prefer=a", "prefer=a"), ("report,node-a", "node-a"), ("report,near=a", "near=a")]
        {
            let said = task(odd).unwrap_err().to_string();
            assert!(said.contains(&format!("{part:?} is not understood")) && said.contains("apart="), "{said}");
        }
    }
}
