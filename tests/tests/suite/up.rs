//! `holdfast up` brings a whole system to its ready line, serves, and stops cleanly.

use std::time::Duration;

use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{free_ports, nats_server_binary};
use holdfast_tests::up::Up;
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

    up.signal(Signal::SIGINT)?;
    let status = up.ended().await?;
    anyhow::ensure!(status.success(), "holdfast up ended with {status}");
    Ok(())
}
