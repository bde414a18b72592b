//! 64 clients that move amounts between accounts: the sum is kept, on every copy, at every moment.

use holdfast_tests::scenario::Transfer;
use holdfast_tests::system::{Options, System};

const TRANSFER: Transfer = Transfer { clients: 64, transfers: 12, accounts: 20, seed: 11 };

async fn transfer(options: Options) -> anyhow::Result<()> {
    System::run(options, async |system| {
        TRANSFER.run(&system.client()).await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_peers() -> anyhow::Result<()> {
    transfer(Options::peer()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_primary() -> anyhow::Result<()> {
    transfer(Options::primary()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_peers_in_memory_under_snapshot_isolation() -> anyhow::Result<()> {
    transfer(Options { isolation: "snapshot", storage: "mem", ..Options::peer() }).await
}
