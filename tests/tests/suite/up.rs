//! `holdfast up` brings a whole system to its ready line, serves, and stops cleanly.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{free_ports, nats_server_binary, service_binary};
use holdfast_tests::wait::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_until_it_is_told_to_stop() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let port = free_ports(1)?[0];
    let mut child = Command::new(service_binary("holdfast")?)
        .args(["up", "--csps", "3", "--nats-port", &port.to_string(), "--nats-server"])
        .arg(nats_server_binary()?)
        .arg("--data")
        .arg(folder.path().join("data"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let outcome = use_it(port, &mut child).await;
    if outcome.is_err() {
        // Its own handling of the signal takes the children with it; the kill is for the case that it hangs.
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        let _ = ended(&mut child).await;
        let _ = child.kill();
    }
    outcome
}

async fn use_it(port: u16, child: &mut std::process::Child) -> anyhow::Result<()> {
    let lines = child.stdout.take().map(BufReader::new);
    std::thread::spawn(move || {
        lines.into_iter().flat_map(BufRead::lines).map_while(Result::ok).for_each(|line| eprintln!("up: {line}"))
    });
    let urls = [format!("nats://127.0.0.1:{port}")];
    let client = until("NATS to listen", PATIENCE, async || Client::connect(&urls, "demo").await).await?;
    until("the group demo to serve", PATIENCE, async || {
        client.update(&Request::new("RETURN 1").deadline(Duration::from_secs(2))).await.done()
    })
    .await?;
    let first = client.commit(Request::new("CREATE person:tobie SET name = 'Tobie'"), PATIENCE).await?;
    let read = Request::new("SELECT VALUE name FROM person").after(first.position);
    let reply = client.read(&read, PATIENCE).await.done()?;
    anyhow::ensure!(reply.results[0][0] == "Tobie", "{reply:?}");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT)?;
    let status = ended(child).await?;
    anyhow::ensure!(status.success(), "holdfast up ended with {status}");
    Ok(())
}

async fn ended(child: &mut std::process::Child) -> anyhow::Result<std::process::ExitStatus> {
    until("holdfast up to end", Duration::from_secs(30), async || {
        child.try_wait().map_err(|error| error.to_string())?.ok_or_else(|| "still running".to_owned())
    })
    .await
}
