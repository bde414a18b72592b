//! CSPs drain and stop in order while clients go on asking, also where nobody else could answer.

use std::time::Duration;

use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{Options, System};
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(30);

/// So many queries are under way at each moment, each for so long that there is always one.
const ASKERS: usize = 16;
const QUERY: &str = "RETURN sleep(30ms)";

/// Asks until it is dropped, whatever comes.
fn ask_on(client: &Client) -> JoinSet<()> {
    (0..ASKERS)
        .map(|_| {
            let client = client.clone();
            async move {
                loop {
                    client.query(&Request::new(QUERY).deadline(Duration::from_secs(2))).await;
                }
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_under_queries_that_nobody_else_could_answer() -> anyhow::Result<()> {
    System::run(Options { csps: 2, ..Options::peer() }, async |system| {
        let asked = ask_on(&system.client());
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
        let asked = ask_on(&system.client());
        system.client().read(&Request::new(QUERY), PATIENCE).await.done()?;
        let (ended, log) = (system.stop("csp-1").await?, system.log_tail("csp-1"));
        anyhow::ensure!(ended.contains("exit status: 0") && !log.contains("grace period is over"), "{ended}: {log}");
        drop(asked);
        Ok(())
    })
    .await
}
