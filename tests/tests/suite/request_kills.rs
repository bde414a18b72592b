//! An update that ends every CSP that carries it out ends two of them: the third one only refuses it, for good. What was at two
//! that were killed at the same moment is innocent.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use futures::future::join_all;
use holdfast_schemas::subject;
use holdfast_tests::client::{Outcome, Request};
use holdfast_tests::system::{GROUP, Options, System};
use serde_json::Value;
use tokio::time::timeout;

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

/// So many updates are under way at once: whatever the first CSP had is spread over the other two.
const UPDATES: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_at_two_csps_that_are_killed_at_once_is_done_by_the_third() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
        let updates: Vec<_> = (0..UPDATES)
            .map(|number| {
                let sql = format!("CREATE item:{number}; RETURN sleep(4s)");
                let (client, request) = (client.clone(), Request::new(sql).deadline(PATIENCE));
                tokio::spawn(async move { client.update(&request).await })
            })
            .collect();
        until_under_way(&system, UPDATES as u64).await?;
        system.kill9("csp-1");
        system.kill9("csp-2");
        for update in join_all(updates).await {
            update?.done()?;
        }
        let read = client.read(&Request::new("RETURN array::len(SELECT VALUE id FROM item)").strong(), PATIENCE).await;
        let read = read.done()?;
        anyhow::ensure!(read.results[0] == UPDATES, "{read:?}");
        Ok(())
    })
    .await
}

/// Waits until so many requests are at the CSPs together, and some at each.
async fn until_under_way(system: &System, requests: u64) -> anyhow::Result<()> {
    let mut heartbeats = system.client().nats().subscribe(subject::heartbeats(GROUP)).await?;
    let mut at: BTreeMap<String, u64> = BTreeMap::new();
    let all_there = async {
        while let Some(heartbeat) = heartbeats.next().await {
            let heartbeat: Value = serde_json::from_slice(&heartbeat.payload)?;
            let csp = heartbeat["csp"].as_str().context("no CSP")?;
            at.insert(csp.to_owned(), heartbeat["outstanding"].as_u64().context("no number")?);
            if at.values().sum::<u64>() == requests && system.csps().iter().all(|csp| at.get(csp) > Some(&0)) {
                return Ok(());
            }
        }
        anyhow::bail!("no more heartbeats")
    };
    let ended = timeout(PATIENCE, all_there).await;
    ended.with_context(|| format!("{requests} requests are not under way; last state: {at:?}"))?
}
