//! Clients wait no longer than was promised when something is lost. The bench prints the figures; a test fails at twice the bound.

use holdfast_tests::bench::{Case, failover_row};

/// Few, since the suite has little time: this finds what is wrong by much, and the bench what is wrong by little.
const RUNS: usize = 3;

async fn is_within_twice_the_bound(cases: &[Case]) -> anyhow::Result<()> {
    for case in cases {
        let row = failover_row(*case, RUNS).await?;
        anyhow::ensure!(row.is_within(2), "more than twice what was promised: {}", serde_json::to_string(&row)?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_primary_is_lost() -> anyhow::Result<()> {
    is_within_twice_the_bound(&[Case::PrimaryKilled, Case::PrimaryStopped, Case::PrimaryCut]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_primary_is_heard_and_hears_nothing() -> anyhow::Result<()> {
    is_within_twice_the_bound(&[Case::PrimaryHearsNothing]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_subscriber_is_lost() -> anyhow::Result<()> {
    is_within_twice_the_bound(&[Case::SubscriberKilled]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_nats_server_that_orders_the_log_is_lost() -> anyhow::Result<()> {
    is_within_twice_the_bound(&[Case::NatsKilled]).await
}
