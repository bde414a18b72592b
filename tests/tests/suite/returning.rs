//! A CSP that comes back catches up, is judged available only then, and takes nothing back by itself.

use std::time::Duration;

use futures::StreamExt;
use holdfast_schemas::subject;
use holdfast_tests::client::Request;
use holdfast_tests::scenario::{Application, create_many};
use holdfast_tests::system::{GROUP, Options, System};
use serde_json::Value;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
/// Enough that catching up is no matter of an instant.
const MISSED: usize = 8_000;

/// The states that a CSP is judged to be in, one after the other, and where it stood when it was.
async fn judgements(system: &System, csp: &str, last: &str) -> anyhow::Result<Vec<(String, u64)>> {
    let client = system.client();
    let mut events = client.nats().subscribe(subject::event(GROUP, subject::EVENT_CSP_STATE)).await?;
    client.nats().flush().await?;
    system.start_process(csp)?;
    let mut judged = Vec::new();
    loop {
        let event = timeout(PATIENCE, events.next()).await?.ok_or_else(|| anyhow::anyhow!("no more events"))?;
        let event: Value = serde_json::from_slice(&event.payload)?;
        if event["csp"] == csp {
            let state = event["state"].as_str().unwrap_or_default().to_owned();
            judged.push((state.clone(), system.status().await.applied(csp)));
            if state == last {
                return Ok(judged);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_primary_catches_up_first_and_stays_a_subscriber() -> anyhow::Result<()> {
    System::run(Options::primary().redundant(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE missed"), PATIENCE).await?;

        // 1. The primary is killed and judged to be gone, and misses much.
        let former = system.primary().await?;
        system.kill9(&former);
        let next = system.primary_other_than(&former).await?;
        system.until_judged(&former, "unavailable", |state| state == "unavailable").await?;
        create_many(&client, "missed", MISSED).await?;
        let (assignment, end_of_log) = (system.assignment().await?, system.log_state().await?.last_sequence);

        // 2. It comes back while clients are at work, and is judged available when it has what it missed.
        let (application, clients) = Application::start(client, 1).await?;
        let judged = judgements(&system, &former, "available").await?;
        eprintln!("{former} missed everything up to {end_of_log}, and was judged {judged:?}");
        let (_, applied) = judged.last().cloned().unwrap_or_default();
        anyhow::ensure!(applied >= end_of_log, "judged available at {applied}, before {end_of_log}");
        let since = Instant::now();
        application.until_answered(since, 200).await?;
        application.end();
        for client in clients {
            client.await?;
        }

        // 3. It took nothing back: neither in the log nor in what execution wrote down.
        system.until_whole().await?;
        anyhow::ensure!(system.primary().await? == next, "{former} is primary again");
        let now = system.assignment().await?;
        anyhow::ensure!(now == assignment, "the assignment was {assignment} and is {now}");
        application.account().await?.settled()?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// It meets what its earlier process wrote with a later clock, and goes on above that.
async fn returns_with_its_clock_set_back(options: Options) -> anyhow::Result<()> {
    System::run(Options { own_clocks: true, ..options }, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE t; CREATE t:1"), PATIENCE).await?;
        let former = system.primary().await?;
        system.kill9(&former);
        system.remove_copy(&former)?;
        system.step_clock(&former, -3_600_000)?;
        // The log has two processes of this name then, the second of which had an earlier clock.
        system.start_ready(&former).await?;
        system.until_whole().await?;
        system.move_primary(&former).await?;
        client.commit(Request::new("CREATE t:2"), PATIENCE).await?;
        system.kill9(&former);
        system.remove_copy(&former)?;

        system.start_ready(&former).await?;
        system.until_whole().await?;
        system.move_primary(&former).await?;
        client.commit(Request::new("CREATE t:3"), PATIENCE).await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_clock_was_set_back_returns() -> anyhow::Result<()> {
    returns_with_its_clock_set_back(Options::primary()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_in_memory_whose_clock_was_set_back_returns() -> anyhow::Result<()> {
    returns_with_its_clock_set_back(Options { storage: "mem", ..Options::primary() }).await
}
