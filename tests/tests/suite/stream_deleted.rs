//! The log's stream is deleted, or is set up so that it takes nothing: updates are refused with the true reason within moments,
//! status says it, queries go on, and so does everything else once the log takes entries again.

use std::time::Duration;

use async_nats::jetstream::{self, stream::Config};
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;
use serde_json::json;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
/// What is promised is 2 s; on a busy machine twice that, and the request's own way.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// Waits until updates are refused with the code, and returns the reason.
async fn refused(client: &Client, code: &str) -> anyhow::Result<String> {
    let since = Instant::now();
    let reason = until(&format!("updates to be refused with {code}"), PATIENCE, async || {
        let request = Request::new("CREATE late").deadline(Duration::from_secs(2));
        let outcome = client.update(&request).await;
        match outcome.to_string() {
            text if text.contains(code) => {
                outcome.refused().map(|refusal| refusal.message).map_err(|error| format!("{error:#}"))
            }
            text => Err(text),
        }
    })
    .await?;
    eprintln!("{code} after {:?}: {reason}", since.elapsed());
    anyhow::ensure!(since.elapsed() < KNOWN_WITHIN, "{code} took {:?}", since.elapsed());
    // From now on it is said at once.
    let since = Instant::now();
    let refusal = client.update(&Request::new("CREATE late")).await.refused()?;
    anyhow::ensure!(
        refusal.code == code && since.elapsed() < Duration::from_secs(1),
        "{refusal:?} {:?}",
        since.elapsed()
    );
    Ok(reason)
}

async fn status_says(client: &Client, code: &str) -> anyhow::Result<()> {
    until(&format!("status to say {code}"), PATIENCE, async || {
        let status = client.group_status().await.map_err(|error| format!("{error:#}"))?;
        if status["updates_refused"]["code"] == code { Ok(()) } else { Err(status.to_string()) }
    })
    .await
}

async fn reads_go_on(client: &Client) -> anyhow::Result<()> {
    let reply = client.read(&Request::new("SELECT VALUE id FROM kept"), PATIENCE).await.done()?;
    anyhow::ensure!(reply.results[0] == json!(["kept:one"]), "{reply:?}");
    Ok(())
}

async fn stream(client: &Client) -> anyhow::Result<(jetstream::Context, Config)> {
    let context = jetstream::new(client.nats().clone());
    let config = context.get_stream(subject::log_stream(GROUP)).await?.cached_info().config.clone();
    Ok((context, config))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_told_as_it_is_and_queries_go_on() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("CREATE kept:one"), PATIENCE).await?;
        let (context, config) = stream(&client).await?;
        context.delete_stream(&config.name).await?;
        let reason = refused(&client, "log_lost").await?;
        anyhow::ensure!(reason.contains("no stream"), "{reason}");
        status_says(&client, "log_lost").await?;
        reads_go_on(&client).await?;

        // A copy that starts now stays up, says so, and answers.
        system.restart("csp-2")?;
        system
            .until("csp-2 to be quarantined", |status| {
                status.csps["csp-2"].as_ref().is_some_and(|status| {
                    status.state == "quarantined"
                        && status.reason.as_ref().is_some_and(|reason| reason.contains("no stream"))
                })
            })
            .await?;
        until("csp-2 to answer", PATIENCE, async || {
            client.query_at("csp-2", &Request::new("SELECT VALUE id FROM kept")).await.done()
        })
        .await?;
        // Another stream under the name is not the log.
        context.create_stream(config.clone()).await?;
        refused_within_patience(&client, "log_mismatch").await?;
        reads_go_on(&client).await?;
        system.all_alive()
    })
    .await
}

async fn refused_within_patience(client: &Client, code: &str) -> anyhow::Result<()> {
    until(&format!("updates to be refused with {code}"), PATIENCE, async || {
        let outcome = client.update(&Request::new("CREATE late").deadline(Duration::from_secs(2))).await;
        if outcome.to_string().contains(code) { Ok(()) } else { Err(outcome.to_string()) }
    })
    .await
}

/// A stream that takes nothing more, or listens elsewhere: updates are refused until it is put right, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn or_set_up_wrongly_is_refused_until_it_is_put_right() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("CREATE kept:one"), PATIENCE).await?;
        let (context, config) = stream(&client).await?;
        let full = Config { max_messages: 3, ..config.clone() };
        let elsewhere = Config { subjects: vec!["elsewhere".to_owned()], ..config.clone() };
        for (what, wrong) in [("full", full), ("elsewhere", elsewhere)] {
            context.update_stream(wrong).await?;
            refused(&client, "log_unavailable").await.map_err(|error| error.context(what))?;
            status_says(&client, "log_unavailable").await?;
            reads_go_on(&client).await?;
            context.update_stream(config.clone()).await?;
            client.commit(Request::new(format!("CREATE after:{what}")), PATIENCE).await?;
        }
        system.until_available(&system.csps()).await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}
