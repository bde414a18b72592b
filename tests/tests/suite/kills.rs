//! kill -9 of any process at random moments under load: over the whole suite more than two hundred times.

use holdfast_tests::scenario::Kills;
use holdfast_tests::system::{Options, System};

async fn kill(options: Options, plan: Kills) -> anyhow::Result<()> {
    System::run(options, async |system| {
        plan.run(&system).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_peers() -> anyhow::Result<()> {
    let options = Options { executions: 2, sync_interval: Some("always".into()), ..Options::peer() };
    kill(options, Kills { seed: 1, kills: 90, clients: 8, keys: 24 }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_primary() -> anyhow::Result<()> {
    let options = Options { executions: 2, sync_interval: Some("always".into()), ..Options::primary() };
    kill(options, Kills { seed: 2, kills: 80, clients: 8, keys: 24 }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory() -> anyhow::Result<()> {
    let options = Options { executions: 2, storage: "mem", ..Options::peer() };
    kill(options, Kills { seed: 3, kills: 40, clients: 8, keys: 24 }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_three_nats_servers() -> anyhow::Result<()> {
    let options = Options { executions: 2, nats_servers: 3, ..Options::peer() };
    kill(options, Kills { seed: 4, kills: 20, clients: 8, keys: 24 }).await
}
