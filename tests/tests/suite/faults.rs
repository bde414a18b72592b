//! Everything that can go wrong, for as long as a test may take; `make soak` goes on for half an hour.

use std::time::Duration;

use holdfast_tests::scenario::Faults;
use holdfast_tests::system::{Options, System, disks_impossible};

const FAULTS: Faults =
    Faults { seed: 1, episodes: 10, lasts_max: Duration::from_millis(1_200), clients: 6, keys: 16, begins_held: false };

async fn break_everything(options: Options, plan: Faults) -> anyhow::Result<()> {
    if let Some(why) = disks_impossible() {
        eprintln!("full disks are left out, because none can be mounted here (it takes root): {why}");
    }
    System::run(options.redundant().breakable(), async |system| plan.run(&system).await.map(drop)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_peers() -> anyhow::Result<()> {
    break_everything(Options::peer(), FAULTS).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_primary() -> anyhow::Result<()> {
    break_everything(Options::primary(), Faults { seed: 2, ..FAULTS }).await
}
