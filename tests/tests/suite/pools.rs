//! A query that names a pool is answered by the copies of that pool, whatever becomes of them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;
use serde_json::{Value, json};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
/// No copy has this name.
const MARK: &str = "mark";
/// Enough that every copy would get some if any might answer.
const QUERIES: usize = 60;

fn query(pool: Option<&str>) -> Request {
    let request = Request::new("SELECT VALUE id FROM item").deadline(Duration::from_secs(2));
    match pool {
        Some(pool) => request.with("pool", pool),
        None => request,
    }
}

/// Hears what is sent to each copy. A copy does not say in its answer who it is.
struct Listener {
    queries: Subscriber,
}

impl Listener {
    async fn start(client: &Client) -> anyhow::Result<Self> {
        let queries = client.nats().subscribe(subject::csp_query(GROUP, "*")).await?;
        client.nats().flush().await?;
        Ok(Self { queries })
    }

    /// The copies that were sent a query of this pool since this was last asked. Not all queries: one that was answered right
    /// before its copy was killed is sent to another one, because the note of its completion died with the copy.
    async fn asked(&mut self, client: &Client, pool: Option<&str>) -> anyhow::Result<BTreeSet<String>> {
        // Comes back on the same subscription, behind everything that was sent before.
        client.nats().publish(subject::csp_query(GROUP, MARK), Bytes::new()).await?;
        let mut asked = BTreeSet::new();
        loop {
            let message = timeout(PATIENCE, self.queries.next()).await?.context("the subscription ended")?;
            match message.subject.split('.').nth(3) {
                Some(MARK) => return Ok(asked),
                csp => {
                    let body: Value = serde_json::from_slice(&message.payload)?;
                    asked.extend(csp.filter(|_| body["pool"].as_str() == pool).map(str::to_owned));
                }
            }
        }
    }
}

async fn ask_many(client: &Client, pool: Option<&str>) -> anyhow::Result<()> {
    for _ in 0..QUERIES {
        let reply = client.query(&query(pool)).await.done()?;
        anyhow::ensure!(reply.results[0] == json!(["item:1"]), "{reply:?}");
    }
    Ok(())
}

fn names(csps: &[&str]) -> BTreeSet<String> {
    csps.iter().map(|csp| (*csp).to_owned()).collect()
}

/// Redefines the group, and waits until execution goes by it.
async fn define(system: &System, overflow: bool, probe: &str) -> anyhow::Result<()> {
    let pools = json!({ "pools": [
        { "name": "reports", "csps": ["csp-2", "csp-3"], "overflow": overflow },
        { "name": probe, "csps": ["csp-1"] },
    ]});
    let reply = system.define_group(&pools).await?;
    anyhow::ensure!(reply["changed"] == true, "{reply}");
    let client = system.client();
    until("the new definition to be in force", PATIENCE, async || client.query(&query(Some(probe))).await.done())
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_kept_and_overflow_only_if_they_may() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        let written = client.commit(Request::new("CREATE item:1"), PATIENCE).await?;
        system
            .until("every copy to have it", |status| {
                system.csps().iter().all(|csp| status.applied(csp) >= written.position)
            })
            .await?;

        // 1. Without pools there are none to be named.
        let refusal = client.query(&query(Some("reports"))).await.refused()?;
        anyhow::ensure!(refusal.code == "not_found" && refusal.message.contains("no pools"), "{refusal:?}");

        // 2. A pool's queries go to its copies, all others to all copies.
        define(&system, false, "first").await?;
        let refusal = client.query(&query(Some("report"))).await.refused()?;
        anyhow::ensure!(refusal.code == "not_found" && refusal.message.contains("reports"), "{refusal:?}");
        let mut listener = Listener::start(&client).await?;
        ask_many(&client, Some("reports")).await?;
        let asked = listener.asked(&client, Some("reports")).await?;
        anyhow::ensure!(asked == names(&["csp-2", "csp-3"]), "{asked:?}");
        ask_many(&client, None).await?;
        let asked = listener.asked(&client, None).await?;
        anyhow::ensure!(asked == names(&["csp-1", "csp-2", "csp-3"]), "{asked:?}");

        // 3. One of them is killed: the other one takes all, and no query fails.
        system.kill9("csp-2");
        ask_many(&client, Some("reports")).await?;
        let asked = listener.asked(&client, Some("reports")).await?;
        anyhow::ensure!(asked.is_subset(&names(&["csp-2", "csp-3"])), "{asked:?}");

        // 4. Both are dead: nobody answers, and the message says whom it waited for. Others are not held up.
        system.kill9("csp-3");
        let refused = async || {
            let outcome = client.query(&query(Some("reports"))).await;
            let text = outcome.to_string();
            outcome.refused().ok().filter(|refusal| refusal.code == "unavailable").ok_or(text)
        };
        let refusal = until("the pool to be unavailable", PATIENCE, refused).await?;
        anyhow::ensure!(refusal.message.contains("(reports)") && refusal.retryable, "{refusal:?}");
        let asked = listener.asked(&client, Some("reports")).await?;
        anyhow::ensure!(!asked.contains("csp-1"), "a query left its pool: {asked:?}");
        ask_many(&client, None).await?;

        // 5. With overflow the one that is left answers, until somebody of the pool is back.
        define(&system, true, "second").await?;
        ask_many(&client, Some("reports")).await?;
        system.start_process("csp-2")?;
        system.start_process("csp-3")?;
        system.until_whole().await?;
        listener.asked(&client, Some("reports")).await?;
        ask_many(&client, Some("reports")).await?;
        let asked = listener.asked(&client, Some("reports")).await?;
        anyhow::ensure!(asked == names(&["csp-2", "csp-3"]), "{asked:?}");
        system.equal_digests(&system.csps()).await?;
        Ok(())
    })
    .await
}
