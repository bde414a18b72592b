//! A transaction that writes more than a copy can take is refused before it reaches the log, and kills nobody: neither at once
//! nor at a later start.

use std::time::Duration;

use holdfast_schemas::limits::{COPY_MEMORY_MIN_MB, TRANSACTION_MAX_WRITES};
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(120);
/// What one update creates.
const PORTION: usize = 30_000;
/// More records than a transaction may delete.
const RECORDS: usize = TRANSACTION_MAX_WRITES + PORTION;

fn smallest() -> Options {
    let memory = ("HOLDFAST_REPLICATION__MEMORY_MB".to_owned(), COPY_MEMORY_MIN_MB.to_string());
    Options { csp_environment: [memory].into(), ..Options::primary() }
}

async fn commit(client: &Client, sql: impl Into<String>) -> anyhow::Result<u64> {
    let request = Request::new(sql).deadline(Duration::from_secs(60));
    Ok(client.commit(request, PATIENCE).await?.position)
}

async fn count(client: &Client) -> anyhow::Result<u64> {
    let request = Request::new("RETURN count((SELECT id FROM d))").strong().deadline(Duration::from_secs(60));
    let reply = client.read(&request, PATIENCE).await.done()?;
    reply.results[0].as_u64().ok_or_else(|| anyhow::anyhow!("no count: {reply:?}"))
}

async fn fill(client: &Client) -> anyhow::Result<()> {
    for first in (0..RECORDS).step_by(PORTION) {
        let last = (first + PORTION).min(RECORDS);
        commit(client, format!("FOR $i IN {first}..{last} {{ CREATE type::record('d', $i) RETURN NONE }}")).await?;
    }
    anyhow::ensure!(count(client).await? == RECORDS as u64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_refused_and_done_in_portions() -> anyhow::Result<()> {
    System::run(smallest(), async |system| {
        let client = system.client();
        commit(&client, "DEFINE TABLE d; DEFINE TABLE e").await?;
        fill(&client).await?;

        // 1. Too many writes: refused with what to do, for good under this id, and nothing is changed.
        let remove = Request::new("REMOVE TABLE d").deadline(Duration::from_secs(60));
        let refused = client.settle(&remove, PATIENCE).await.refused()?;
        anyhow::ensure!(refused.code == "transaction_too_large" && !refused.retryable, "{refused:?}");
        anyhow::ensure!(refused.message.contains(&TRANSACTION_MAX_WRITES.to_string()), "{}", refused.message);
        anyhow::ensure!(refused.message.contains("in portions"), "{}", refused.message);
        anyhow::ensure!(count(&client).await? == RECORDS as u64);
        system.all_alive()?;

        // 2. Each copy opens again with what it has, and all hold the same.
        for csp in system.csps() {
            system.restart(&csp)?;
            system.until_whole().await?;
        }
        system.equal_digests(&system.csps()).await?;

        // 3. As the message says: in portions.
        let mut left = RECORDS as u64;
        while left > 0 {
            commit(&client, format!("DELETE (SELECT VALUE id FROM d LIMIT {}) RETURN NONE", 2 * PORTION)).await?;
            let now_left = count(&client).await?;
            anyhow::ensure!(now_left < left, "{now_left} left of {left}");
            left = now_left;
        }
        let position = commit(&client, "REMOVE TABLE d").await?;
        for csp in system.csps() {
            system.restart(&csp)?;
            system.until_whole().await?;
        }
        until("all copies to be there", PATIENCE, async || {
            let status = system.status().await;
            if status.all_available(&system.csps()) { Ok(()) } else { Err(status) }
        })
        .await?;
        anyhow::ensure!(system.equal_digests(&system.csps()).await?.position >= position);
        system.all_alive()
    })
    .await
}

/// What a transaction reads, or writes again and again, is bounded too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_refused_for_what_it_writes_again_and_again() -> anyhow::Result<()> {
    System::run(smallest(), async |system| {
        let client = system.client();
        commit(&client, "DEFINE TABLE one; CREATE one:1").await?;
        let again = Request::new("FOR $i IN 0..100000 { UPDATE one:1 SET number = $i, text = $text RETURN NONE }")
            .var("text", "x".repeat(500_000))
            .deadline(Duration::from_secs(60));
        let refused = client.settle(&again, PATIENCE).await.refused()?;
        anyhow::ensure!(refused.code == "transaction_too_large", "{refused:?}");
        commit(&client, "UPDATE one:1 SET number = 1").await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}
