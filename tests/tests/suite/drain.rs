//! CSPs drain and stop in order while clients go on asking, also where nobody else could answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(30);

/// So many queries are under way, each for another time, so that there is one at each moment.
const ASKERS: usize = 24;

/// Asks until it is dropped, whatever comes; first of all it was answered by this group.
async fn ask_on(client: &Client) -> anyhow::Result<JoinSet<()>> {
    let answered = Arc::new(AtomicUsize::new(0));
    let asked = (0..ASKERS).map(|asker| {
        let query = Request::new(format!("RETURN sleep({}ms)", 100 + 7 * asker)).deadline(Duration::from_secs(2));
        let (client, answered) = (client.clone(), Arc::clone(&answered));
        async move {
            loop {
                client.query(&query.clone().renewed()).await;
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let asked = asked.collect();
    until("queries to be answered", PATIENCE, async || match answered.load(Ordering::Relaxed) {
        count if count > 4 * ASKERS => Ok(()),
        count => Err(count),
    })
    .await?;
    Ok(asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_under_queries_that_nobody_else_could_answer() -> anyhow::Result<()> {
    System::run(Options { csps: 2, ..Options::peer() }, async |system| {
        let asked = ask_on(&system.client()).await?;
        for csp in system.csps() {
            system.drain(&csp).await?;
        }
        for csp in system.csps() {
            system.until(&format!("{csp} to be in maintenance"), |status| status.is_in(&csp, "maintenance")).await?;
        }
        drop(asked);
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comes_before_the_end_of_the_only_copy_under_queries() -> anyhow::Result<()> {
    System::run(Options { csps: 1, ..Options::peer() }, async |system| {
        let asked = ask_on(&system.client()).await?;
        let (ended, log) = (system.stop("csp-1").await?, system.log_tail("csp-1"));
        anyhow::ensure!(ended.contains("exit status: 0") && !log.contains("grace period is over"), "{ended}: {log}");
        drop(asked);
        Ok(())
    })
    .await
}
