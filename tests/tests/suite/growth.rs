//! Availability grows with copies: no query fails while any one of them is up.

use holdfast_tests::scenario::Application;
use holdfast_tests::system::{Options, System};
use tokio::time::Instant;

const ANSWERS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_fails_while_any_one_copy_is_up() -> anyhow::Result<()> {
    System::run(Options { csps: 4, ..Options::peer().redundant() }, async |system| {
        let (application, clients) = Application::start(system.client(), 4).await?;
        let began = Instant::now();

        // 1. One copy after the other is killed under load, until one is left.
        let csps = system.csps();
        for csp in &csps[1..] {
            let killed = Instant::now();
            system.kill9(csp);
            application.until_answered(killed, ANSWERS).await?;
            let seen = application.seen_since(killed);
            eprintln!(
                "without {csp}: queries paused for {:.1?}, updates for {:.1?}",
                seen.query_pause, seen.update_pause
            );
        }

        // 2. They come back, and the one that was left goes instead.
        system.heal().await?;
        let killed = Instant::now();
        system.kill9(&csps[0]);
        application.until_answered(killed, ANSWERS).await?;
        system.heal().await?;

        // 3. Nobody was ever refused, and nothing is missing.
        application.end();
        for client in clients {
            client.await?;
        }
        application.seen_since(began).without_failure()?;
        application.account().await?.settled()?;
        system.equal_digests(&csps).await?;
        system.all_alive()
    })
    .await
}
