//! A CSP that was away, one that lost its copy, and one that joins for the first time.

use std::time::Duration;

use holdfast_tests::client::Request;
use holdfast_tests::scenario::{Away, create_many};
use holdfast_tests::system::{Options, System};

const AWAY: Away = Away { transactions: 20_000, bound: Duration::from_secs(90) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_having_been_away() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        AWAY.run(&system, "csp-2", false).await?;
        Away { transactions: 2_000, ..AWAY }.run(&system, "csp-3", true).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_empty_csp_under_load() -> anyhow::Result<()> {
    let options = Options { csps: 2, csps_later: 1, ..Options::primary() };
    System::run(options, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE before; DEFINE TABLE during"), Duration::from_secs(20)).await?;
        create_many(&client, "before", 3_000).await?;
        let load = tokio::spawn({
            let client = client.clone();
            async move { create_many(&client, "during", 3_000).await }
        });
        system.start_ready("csp-3").await?;
        let position = load.await??;
        let what = format!("csp-3 to have everything up to {position}");
        system.until(&what, |status| status.available("csp-3") && status.applied("csp-3") >= position).await?;
        let csps: Vec<String> = ["csp-1", "csp-2", "csp-3"].map(str::to_owned).into();
        for table in ["before", "during"] {
            let sql = format!("SELECT count() FROM {table} GROUP ALL");
            let answer = system.equal_answers(&csps, &sql, position).await?;
            anyhow::ensure!(answer[0][0]["count"] == 3_000, "{answer:?}");
        }
        system.equal_digests(&csps).await?;
        Ok(())
    })
    .await
}
