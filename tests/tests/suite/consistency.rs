//! What readers may demand: any copy, their own writes, or everything that was acknowledged to anybody.

use std::time::Duration;

use holdfast_tests::client::{Outcome, Request};
use holdfast_tests::system::{Options, System};

const PATIENCE: Duration = Duration::from_secs(30);
const ROUNDS: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strong_and_session_queries_see_what_they_must() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        let reader = system.new_client().await?;
        client.commit(Request::new("DEFINE TABLE note"), PATIENCE).await?;
        for round in 1..=ROUNDS {
            let write = Request::new(format!("UPSERT note:one SET number = {round} RETURN NONE"));
            let position = client.commit(write, PATIENCE).await?.position;
            let read = || Request::new("SELECT VALUE number FROM note:one");
            for request in [read().strong(), read().after(position)] {
                let reply = reader.query(&request).await.done()?;
                let seen = reply.results[0][0].as_u64();
                anyhow::ensure!(seen == Some(round) && reply.position >= position, "{round} at {position}: {reply:?}");
            }
            for csp in system.csps() {
                let reply = reader.query_at(&csp, &read().strong()).await.done()?;
                anyhow::ensure!(reply.results[0][0].as_u64() == Some(round), "{csp}, {round}: {reply:?}");
            }
        }
        Ok(())
    })
    .await
}

/// A copy that is cut off serves old reads to those who take them, and to nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_never_go_backwards_behind_their_bound() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE note"), PATIENCE).await?;
        system.pause("csp-3")?;
        for round in 1..=40_u64 {
            let write = Request::new(format!("UPSERT note:one SET number = {round} RETURN NONE"));
            let position = client.commit(write, PATIENCE).await?.position;
            let read = Request::new("SELECT VALUE number FROM note:one").deadline(Duration::from_secs(2));
            for request in [read.clone().strong(), read.clone().after(position), read.with("max_lag_ms", 3_000)] {
                match client.read(&request, PATIENCE).await {
                    Outcome::Done(reply) => {
                        let seen = reply.results[0][0].as_u64();
                        let bound = reply.position >= position;
                        anyhow::ensure!(seen <= Some(round) && (!bound || seen == Some(round)), "{round}: {reply:?}");
                    }
                    other => anyhow::bail!("{round}: {other}"),
                }
            }
        }
        system.resume("csp-3")?;
        system.until_available(&system.csps()).await?;
        system.equal_digests(&system.csps()).await?;
        Ok(())
    })
    .await
}

/// A statement that fails is not certified, since nothing is written: it must not fail for want of what others were
/// already told is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_do_not_fail_for_want_of_what_was_acknowledged_before() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE note; UPSERT note:one SET number = 0"), PATIENCE).await?;
        let mut refused = Vec::new();
        for round in 1..=ROUNDS * 4 {
            let write = Request::new(format!("UPSERT note:one SET number = {round} RETURN NONE"));
            client.update_at("csp-1", &write).await.done()?;
            let follow = Request::new(format!(
                "IF (SELECT VALUE number FROM ONLY note:one) < {round} {{ THROW 'too early' }};
                 UPSERT note:two SET number = {round} RETURN NONE"
            ));
            if let Outcome::Refused(refusal) = client.update_at("csp-2", &follow).await {
                refused.push(format!("{round}: {}: {}", refusal.code, refusal.message));
            }
        }
        anyhow::ensure!(refused.is_empty(), "{} of {} refused: {:?}", refused.len(), ROUNDS * 4, refused.first());
        Ok(())
    })
    .await
}
