//! A primary that stops in the middle of a commit, is replaced, and goes on: it acknowledges nothing that the log does not
//! hold, and what it answers to strong queries is never old. Shown at every step of the commit path.

use std::time::Duration;

use holdfast_tests::history::Recorder;
use holdfast_tests::scenario::progress;
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(30);
/// Clients that stay with the primary.
const LOYAL: u64 = 6;

async fn depose_at(step: &'static str) -> anyhow::Result<()> {
    let options = Options { stop_at: Some(step), ..Options::primary().redundant() };
    System::run(options, async |system| {
        let primary = system.primary().await?;

        // 1. Clients of the group, and clients of the primary alone that hear whatever it says when it goes on.
        let recorder = Recorder::begin(system.client(), 12).await?;
        let mut clients = recorder.clients(1, 4);
        clients.extend(recorder.loyal_clients(&primary, 2, usize::try_from(LOYAL)?));
        progress(&recorder, 100, PATIENCE, "the primary stops").await?;

        // 2. It stops at the step, with commits under way, and another one takes over.
        system.stop_at_step(&primary).await?;
        let next = system.primary_other_than(&primary).await?;
        progress(&recorder, 50, PATIENCE, "the deposed primary goes on").await?;

        // 3. It goes on where it stopped, is told about the new epoch by the log, and has to say something to each of those
        // who stayed with it.
        let told = recorder.told_to_loyal();
        system.resume(&primary)?;
        until("loyal clients to be told something", PATIENCE, async || match recorder.told_to_loyal() - told {
            LOYAL.. => Ok(()),
            few => Err(format!("{few} answers")),
        })
        .await?;
        progress(&recorder, 50, PATIENCE, "the group is to be whole").await?;
        system.heal().await?;
        progress(&recorder, 50, PATIENCE, "the end").await?;
        recorder.end();
        for client in clients {
            client.await??;
        }

        // 4. All that anybody was told fits the log, the copies are equal, and nothing was taken back.
        eprintln!("{step}: {primary} was deposed by {next}; {:?}", recorder.finish().await?);
        system.equal_digests(&system.csps()).await?;
        anyhow::ensure!(system.primary().await? == next, "the deposed primary took its task back");
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_statements_that_ran_and_a_commit_that_nobody_has() -> anyhow::Result<()> {
    depose_at("before-submit").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_entry_that_was_not_sent() -> anyhow::Result<()> {
    depose_at("before-publish").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_entry_on_its_way() -> anyhow::Result<()> {
    depose_at("after-publish").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_entry_that_came_back_and_was_not_applied() -> anyhow::Result<()> {
    depose_at("before-apply").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_entry_that_was_applied_and_not_answered() -> anyhow::Result<()> {
    depose_at("after-apply").await
}
