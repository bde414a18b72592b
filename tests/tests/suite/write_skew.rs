//! Two doctors are on call, and each leaves if the other one stays. Under `serializable` one of them stays; under
//! `snapshot`, which only looks at what was written, both can go. Both are shown.

use std::time::Duration;

use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{Options, System};

const ROUNDS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// One round; how many are left on call.
async fn round(client: &Client) -> anyhow::Result<u64> {
    let setup = "UPSERT doctor:a SET on_call = true; UPSERT doctor:b SET on_call = true";
    let position = client.commit(Request::new(setup), PATIENCE).await?.position;
    for csp in ["csp-1", "csp-2"] {
        client.query_at(csp, &Request::new("RETURN 1").after(position)).await.done()?;
    }
    // The nap inside the transaction makes the two overlap for certain.
    let leave = |doctor: &str| {
        Request::new(format!(
            "LET $on_call = (SELECT VALUE id FROM doctor WHERE on_call = true);
             SLEEP 100ms;
             IF $on_call.len() >= 2 {{ UPDATE doctor:{doctor} SET on_call = false }};"
        ))
        .deadline(Duration::from_secs(10))
    };
    let (a, b) = (leave("a"), leave("b"));
    let (one, other) = tokio::join!(client.update_at("csp-1", &a), client.update_at("csp-2", &b));
    for outcome in [one, other] {
        if let Err(error) = outcome.clone().done() {
            anyhow::ensure!(outcome.refused().is_ok_and(|refusal| refusal.code == "conflict"), "{error}");
        }
    }
    let left = Request::new("SELECT VALUE id FROM doctor WHERE on_call = true").strong();
    let reply = client.read(&left, PATIENCE).await.done()?;
    Ok(reply.results[0].as_array().map_or(0, Vec::len) as u64)
}

async fn rounds(options: Options) -> anyhow::Result<Vec<u64>> {
    let mut left = Vec::new();
    System::run(options, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE doctor"), PATIENCE).await?;
        for _ in 0..ROUNDS {
            left.push(round(&client).await?);
        }
        system.equal_digests(&system.csps()).await?;
        Ok(())
    })
    .await?;
    Ok(left)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_not_happen_under_serializable_among_peers() -> anyhow::Result<()> {
    let left = rounds(Options::peer()).await?;
    anyhow::ensure!(left.iter().all(|&left| left >= 1), "nobody is on call: {left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_not_happen_under_serializable_with_a_primary() -> anyhow::Result<()> {
    let left = rounds(Options::primary()).await?;
    anyhow::ensure!(left.iter().all(|&left| left >= 1), "nobody is on call: {left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_under_snapshot() -> anyhow::Result<()> {
    let left = rounds(Options { isolation: "snapshot", ..Options::peer() }).await?;
    anyhow::ensure!(left.contains(&0), "the anomaly that snapshot isolation permits did not show: {left:?}");
    Ok(())
}
