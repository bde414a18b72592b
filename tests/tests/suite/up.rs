//! `holdfast up` brings a whole system to its ready line, serves, and stops cleanly.

use std::time::Duration;

use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{free_ports, nats_server_binary};
use holdfast_tests::up::{Up, holdfast, succeeds};
use holdfast_tests::wait::until;
use nix::sys::signal::Signal;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_until_it_is_told_to_stop() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (port, server) = (free_ports(1)?[0].to_string(), nats_server_binary()?.display().to_string());
    let data = folder.path().join("data");
    let mut up = Up::start(&data, &["--csps", "3", "--nats-port", &port, "--nats-server", &server])?;
    up.ready().await?;

    let client = Client::connect(&[format!("nats://127.0.0.1:{port}")], "demo").await?;
    let first = client.commit(Request::new("CREATE person:tobie SET name = 'Tobie'"), PATIENCE).await?;
    let read = Request::new("SELECT VALUE name FROM person").after(first.position);
    let reply = client.read(&read, PATIENCE).await.done()?;
    anyhow::ensure!(reply.results[0][0] == "Tobie", "{reply:?}");

    let mistyped = holdfast(&["csp", "drain", "csp-7", "--group", "demo", "--nats", &up.url()?]).await?;
    let names_all = ["csp-1", "csp-2", "csp-3", "no copy csp-7"].iter().all(|words| mistyped.errors.contains(words));
    anyhow::ensure!(mistyped.code == Some(2) && names_all, "{mistyped:?}");

    up.signal(Signal::SIGINT)?;
    let status = up.ended().await?;
    anyhow::ensure!(status.success(), "holdfast up ended with {status}");
    Ok(())
}

/// NATS would begin a new store beside the old one, and keep the old one's streams in a form that one server cannot read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_nats_servers_is_refused_before_anything_starts() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mut up = Up::start(&data, &["--nats-port", "0"])?;
    up.ready().await?;
    up.stop().await?;

    let mut other = Up::start(&data, &["--nats-port", "0", "--nats-servers", "3"])?;
    let status = other.ended().await?;
    let said = other.said().join("\n");
    anyhow::ensure!(!status.success() && said.contains("give --nats-servers 1"), "{status}: {said}");
    anyhow::ensure!(!data.join("nats/nats-2").exists(), "something was started: {said}");

    let mut again = Up::start(&data, &["--nats-port", "0"])?;
    again.ready().await?;
    again.stop().await
}

/// The copies are all that there is then: they answer what they can, nobody is told to remove one, and with the store put back
/// everything goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_log_it_stays_and_keeps_the_copies() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, kept) = (folder.path().join("data"), folder.path().join("kept"));
    let mut up = Up::start(&data, &["--nats-port", "0"])?;
    up.ready().await?;
    let client = Client::connect(&[up.url()?], "demo").await?;
    client.commit(Request::new("CREATE note:1 SET text = 'kept'"), PATIENCE).await?;
    succeeds(&["verify", "--nats", &up.url()?]).await?;
    up.stop().await?;

    std::fs::rename(data.join("nats"), &kept)?;
    let mut without = Up::start(&data, &["--nats-port", "0"])?;
    until("`up` to say that no updates are taken", PATIENCE, async || {
        let said = without.said();
        if said.iter().any(|line| line.contains("takes no updates")) { Ok(()) } else { Err(said.join("\n")) }
    })
    .await?;
    let said = without.said().join("\n");
    anyhow::ensure!(said.contains("Do not remove it") && !said.contains("built anew"), "{said}");
    let client = Client::connect(&[without.url()?], "demo").await?;
    let read = client.read(&Request::new("SELECT VALUE text FROM note"), PATIENCE).await.done()?;
    anyhow::ensure!(read.results[0][0] == "kept", "{read:?}");
    let refused = client.update(&Request::new("CREATE note:2")).await.refused()?;
    anyhow::ensure!(["log_lost", "log_mismatch"].contains(&refused.code.as_str()), "{refused:?}");
    without.still_runs()?;
    without.stop().await?;

    std::fs::rename(data.join("nats"), folder.path().join("new"))?;
    std::fs::rename(&kept, data.join("nats"))?;
    let mut again = Up::start(&data, &["--nats-port", "0"])?;
    again.ready().await?;
    let client = Client::connect(&[again.url()?], "demo").await?;
    client.commit(Request::new("CREATE note:2"), PATIENCE).await?;
    again.stop().await
}
