//! A statement that keeps a thread for minutes without giving way is that request's matter alone: its CSP is heard, answers others,
//! and is not called dead.

use std::time::Duration;

use holdfast_tests::client::Request;
use holdfast_tests::system::{Options, System};
use tokio::time::Instant;

/// Minutes of work in one call of a function.
const ENDLESS: &str = "RETURN string::html::sanitize(string::repeat('<div>', 200000))";
const LASTS: Duration = Duration::from_secs(5);
/// Others wait for a thread, and never for the statement.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_gives_no_way_leaves_its_csp_alive() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        let endless = tokio::spawn({
            let client = system.new_client().await?;
            async move { client.query_at("csp-2", &Request::new(ENDLESS).deadline(Duration::from_secs(1))).await }
        });
        let over = Instant::now() + LASTS;
        while Instant::now() < over {
            let asked = Instant::now();
            let answer = client.query_at("csp-2", &Request::new("RETURN 1").deadline(ANSWERED_WITHIN)).await.done()?;
            anyhow::ensure!(answer.results[0] == 1, "{answer:?}");
            anyhow::ensure!(asked.elapsed() < ANSWERED_WITHIN, "answered after {:?}", asked.elapsed());
            let judged = system.judged_states().await?;
            anyhow::ensure!(judged["csp-2"] == "available", "{judged:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        endless.abort();
        // It does not end in order for as long as that thread is busy.
        system.may_end("csp-2");
        system.kill9("csp-2");
        Ok(())
    })
    .await
}
