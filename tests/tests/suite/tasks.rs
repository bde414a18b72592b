//! A task of the group's own: one CSP holds it, another one when that is killed, and nobody gives it back. It stays apart from
//! the task that it is to be kept apart from.

use std::time::Duration;

use holdfast_schemas::message::{TASK_REPLICATION, TaskDefinition};
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;

const TASK: &str = "report";
const PATIENCE: Duration = Duration::from_secs(30);

/// Who holds the task, once it is somebody else than `former`, and under which epoch.
async fn holder_other_than(system: &System, former: &str) -> anyhow::Result<(String, u64)> {
    until(&format!("{TASK} to be held by another than {former:?}"), PATIENCE, async || {
        let assignment = system.assignment_of(TASK).await.map_err(|error| format!("{error:#}"))?;
        match (assignment["csp"].as_str(), assignment["epoch"].as_u64()) {
            (Some(csp), Some(epoch)) if csp != former => Ok((csp.to_owned(), epoch)),
            _ => Err(assignment.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_moves_with_its_holder_and_stays_apart() -> anyhow::Result<()> {
    let report = TaskDefinition { keep_apart_from: vec![TASK_REPLICATION.to_owned()], ..TaskDefinition::new(TASK) };
    let options = Options { tasks: vec![report], ..Options::primary().redundant() };
    System::run(options, async |system| {
        let primary = system.primary().await?;

        // 1. It is given to somebody, apart from the primary.
        let (first, began) = holder_other_than(&system, "").await?;
        anyhow::ensure!(first != primary, "{first} is primary and holds {TASK} too");

        // 2. Its holder is killed, and the third CSP has it: the primary is still no place for it.
        system.kill9(&first);
        let (second, moved) = holder_other_than(&system, &first).await?;
        anyhow::ensure!(second != primary && moved == began + 1, "{second} in {moved} after {first} in {began}");
        anyhow::ensure!(system.primary().await? == primary, "the primary moved with a task that is not its own");

        // 3. It comes back, and nothing is given back.
        system.heal().await?;
        anyhow::ensure!(holder_other_than(&system, "").await? == (second.clone(), moved), "{first} took {TASK} back");

        // 4. Who wants it back asks for it.
        let reply = system.move_task(TASK, &first).await?;
        anyhow::ensure!(
            reply["assignment"]["csp"] == first.as_str() && reply["previous"] == second.as_str(),
            "{reply}"
        );

        // 5. The primary is killed: the next one is not the CSP that holds the task.
        system.kill9(&primary);
        let next = system.primary_other_than(&primary).await?;
        anyhow::ensure!(next == second, "{next} is primary, and {first} holds {TASK}");
        system.heal().await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}
