//! An update that ends every CSP that carries it out ends two of them: the third one only refuses it, for good.

use std::time::Duration;

use holdfast_tests::client::{Outcome, Request};
use holdfast_tests::system::{Options, System};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_two_csps_did_not_survive_is_given_to_no_third() -> anyhow::Result<()> {
    let fault = [("HOLDFAST_FAULT", "die-of:bane"), ("HOLDFAST_FAULT_INJECTION", "1")];
    let csp_environment = fault.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    System::run(Options { csp_environment, ..Options::peer() }, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
        let bane = Request::new("CREATE item:bane").deadline(Duration::from_secs(20));
        let refused = client.update(&bane).await.refused()?;
        anyhow::ensure!(refused.code == "request_kills" && refused.settled && !refused.retryable, "{refused:?}");

        // One is left, serves, and says the same again.
        let status = system.status().await;
        let left: Vec<_> = system.csps().into_iter().filter(|csp| status.available(csp)).collect();
        anyhow::ensure!(left.len() == 1, "{status}");
        match client.update(&bane).await {
            Outcome::Refused(again) => anyhow::ensure!(again.code == "request_kills", "{again:?}"),
            other => anyhow::bail!("{other}"),
        }
        client.commit(Request::new("CREATE item:other"), PATIENCE).await?;
        let read = client.read(&Request::new("SELECT VALUE id FROM item").strong(), PATIENCE).await.done()?;
        anyhow::ensure!(read.results[0] == serde_json::json!(["item:other"]), "{read:?}");
        Ok(())
    })
    .await
}
