//! 64 clients that increment one record: nothing lost, nothing applied twice.

use holdfast_tests::scenario::Counter;
use holdfast_tests::system::{Options, System};

const COUNTER: Counter = Counter { clients: 64, increments: 10 };

async fn count(options: Options) -> anyhow::Result<()> {
    System::run(options, async |system| {
        COUNTER.run(&system.client()).await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_peers() -> anyhow::Result<()> {
    count(Options::peer()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_primary() -> anyhow::Result<()> {
    count(Options::primary()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_peers_under_snapshot_isolation() -> anyhow::Result<()> {
    count(Options { isolation: "snapshot", ..Options::peer() }).await
}
