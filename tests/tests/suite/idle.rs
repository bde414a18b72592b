//! A group that nobody uses hardly writes to its log.

use std::time::Duration;

use holdfast_tests::system::{Options, System};

const WINDOW: Duration = Duration::from_secs(20);
const ENTRIES_MAX: u64 = 2 * WINDOW.as_secs();

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_csps_write_at_most_two_entries_a_second() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let before = system.log_state().await?.last_sequence;
        // Not a wait for something to happen: the window over which the rate is taken.
        tokio::time::sleep(WINDOW).await;
        let written = system.log_state().await?.last_sequence - before;
        eprintln!("{written} entries in {WINDOW:?}");
        anyhow::ensure!(written <= ENTRIES_MAX, "{written} entries in {WINDOW:?}, at most {ENTRIES_MAX}");
        Ok(())
    })
    .await
}
