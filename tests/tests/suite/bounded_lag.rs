//! `max_lag_ms` is a bound under every partition: a copy that cannot know how old it is does not answer such a query, however
//! many others are cut off together with it; and it answers again as soon as it can know.

use std::time::Duration;

use holdfast_tests::client::{Outcome, Request};
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
const LAG_MS: u64 = 400;

fn bounded() -> Request {
    Request::new("SELECT VALUE n FROM ONLY fresh:1").with("max_lag_ms", LAG_MS).deadline(Duration::from_secs(1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_kept_by_copies_that_hear_each_other_and_not_the_log() -> anyhow::Result<()> {
    let options = Options { nats_servers: 3, ..Options::primary() };
    System::run(options, async |system| {
        let client = system.client();
        client.commit(Request::new("CREATE fresh:1 SET n = 1"), PATIENCE).await?;
        for csp in system.csps() {
            // A copy that has not applied it yet may answer without, for as long as the bound allows.
            until(&format!("{csp} to answer"), PATIENCE, async || match client.query_at(&csp, &bounded()).await {
                Outcome::Done(reply) if reply.results == [serde_json::json!(1)] => Ok(()),
                other => Err(other.to_string()),
            })
            .await?;
        }

        // 1. The log loses its majority. All copies find each other at the server that is left.
        system.kill9("nats-2");
        system.kill9("nats-3");
        for csp in system.csps() {
            // Each refuses when what it knew is older than the bound, for want of a place in the log.
            until(&format!("{csp} to refuse"), PATIENCE, async || match client.query_at(&csp, &bounded()).await {
                Outcome::Refused(refusal) if refusal.code == "position_not_reached" => Ok(()),
                other => Err(other.to_string()),
            })
            .await?;
            let any = Request::new("SELECT VALUE n FROM ONLY fresh:1").deadline(Duration::from_secs(1));
            let answered = client.query_at(&csp, &any).await.done()?;
            anyhow::ensure!(answered.results == [serde_json::json!(1)], "{csp}: {answered:?}");
            let again = client.query_at(&csp, &bounded()).await;
            anyhow::ensure!(again.clone().refused().is_ok(), "{csp} cannot know how old it is: {again}");
        }

        // 2. The log is back, and so are answers.
        system.heal().await?;
        for csp in system.csps() {
            until(&format!("{csp} to answer"), PATIENCE, async || {
                client.query_at(&csp, &bounded()).await.done().map(drop).map_err(|error| format!("{error:#}"))
            })
            .await?;
        }
        system.all_alive()
    })
    .await
}
