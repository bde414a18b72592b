//! The disk of NATS is full, and has room again: updates are refused with the true reason meanwhile, and `holdfast up` starts the
//! server again, which would refuse for ever otherwise: also while locks are asked for all the time. Nothing that was acknowledged
//! is lost.

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{Disk, disks_impossible, free_ports_in_a_row, nats_server_binary, service_binary};
use holdfast_tests::wait::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(90);
const GROUP: &str = "demo";
/// For each server.
const DISK_MB: u64 = 40;

/// What `holdfast up` has said.
type Said = Arc<Mutex<Vec<String>>>;

fn start_up(folder: &Path, port: u16, servers: u16) -> anyhow::Result<(Child, Said)> {
    let mut child = Command::new(service_binary("holdfast")?)
        .args(["up", "--csps", "3", "--nats-port", &port.to_string()])
        .args(["--nats-servers", &servers.to_string(), "--nats-server"])
        .arg(nats_server_binary()?)
        .arg("--data")
        .arg(folder.join("data"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let said = Said::default();
    let lines = child.stdout.take().map(BufReader::new);
    let hears = Arc::clone(&said);
    std::thread::spawn(move || {
        for line in lines.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
            eprintln!("up: {line}");
            hears.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    Ok((child, said))
}

/// Waits until `holdfast up` and its group are ready.
async fn served(port: u16, said: &Said) -> anyhow::Result<Client> {
    let urls = [format!("nats://127.0.0.1:{port}")];
    until("`up` to be ready", PATIENCE, async || {
        let lines = said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ready = lines.iter().any(|line| line.contains(" up ") && line.contains("ready after"));
        if is_ready { Ok(()) } else { Err(lines.last().cloned().unwrap_or_default()) }
    })
    .await?;
    let client = Client::connect(&urls, GROUP).await?;
    until("the group to serve", PATIENCE, async || {
        client.update(&Request::new("RETURN 1").deadline(Duration::from_secs(2))).await.done()
    })
    .await?;
    let status = client.ask(subject::admin("group", "status"), &json!({ "group": GROUP }), PATIENCE).await?;
    anyhow::ensure!(status["updates_refused"].is_null(), "{status}");
    Ok(client)
}

async fn fill_and_free(client: &Client, ports: Range<u16>, disk: &Disk, said: &Said) -> anyhow::Result<()> {
    tokio::select! {
        outcome = refused_and_taken_again(client, ports, disk, said) => outcome,
        () = ask_for_locks(client) => anyhow::bail!("locks were asked for no more"),
    }
}

/// What becomes of it does not matter: each is handed to the log, whether that takes it or not.
async fn ask_for_locks(client: &Client) {
    for number in 0_u64.. {
        let body = json!({ "name": format!("shelf-{number}"), "lease_ms": 1_000, "deadline_ms": 1_000 });
        drop(client.answer(subject::lock(GROUP, "acquire"), &body, Duration::from_secs(2)).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many of several servers have switched their JetStream off; a server that is alone does not.
async fn switched_off(ports: Range<u16>) -> usize {
    let asked = ports.map(|port| async_nats::connect(format!("nats://127.0.0.1:{port}")));
    let connections = join_all(asked).await.into_iter().flatten();
    connections.filter(|connection| !connection.server_info().jetstream).count()
}

async fn refused_and_taken_again(client: &Client, ports: Range<u16>, disk: &Disk, said: &Said) -> anyhow::Result<()> {
    // So many that the others have no majority: then nothing is taken before one of them is started again.
    let off_min = if ports.len() > 1 { ports.len().div_ceil(2) } else { 0 };
    let filler = "x".repeat(20_000);
    until("updates to be refused as what they are", PATIENCE, async || {
        // Random, or it would be compressed away.
        let text = format!("CREATE filler SET text = rand::string(20000), more = '{filler}'");
        let outcome = client.update(&Request::new(text).deadline(Duration::from_secs(2))).await.to_string();
        // Several servers switch their JetStream off, and then there is no leader that could say why.
        let says_why = outcome.contains("takes no entries") || outcome.contains("the log cannot be reached");
        let off = switched_off(ports.clone()).await;
        if outcome.contains("log_unavailable") && says_why && off >= off_min {
            Ok(())
        } else {
            Err(format!("{off} switched off; {outcome}"))
        }
    })
    .await?;
    let status = client.ask(subject::admin("group", "status"), &json!({ "group": GROUP }), PATIENCE).await?;
    anyhow::ensure!(status["updates_refused"]["code"] == "log_unavailable", "{status}");
    let reply = client.read(&Request::new("SELECT VALUE id FROM kept"), PATIENCE).await.done()?;
    anyhow::ensure!(reply.results[0] == json!(["kept:before"]), "{reply:?}");

    disk.free()?;
    client.commit(Request::new("CREATE kept:behind"), PATIENCE).await?;
    let lines = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
    anyhow::ensure!(lines.iter().any(|line| line.contains("nats-") && line.contains("started again")), "{lines:?}");
    let strong = Request::new("SELECT VALUE id FROM kept ORDER BY id").strong();
    let reply = client.read(&strong, PATIENCE).await.done()?;
    anyhow::ensure!(reply.results[0] == json!(["kept:before", "kept:behind"]), "{reply:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_said_and_ends_when_there_is_room_again() -> anyhow::Result<()> {
    is_said_and_ends(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_servers_is_said_and_ends_when_there_is_room_again() -> anyhow::Result<()> {
    is_said_and_ends(3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_start_of_nats_is_said_and_ends_when_there_is_room_again() -> anyhow::Result<()> {
    with_a_disk(1, async |folder, port, disk| {
        run(folder, port, 1, async |client, _| {
            client.commit(Request::new("CREATE kept:before"), PATIENCE).await?;
            Ok(())
        })
        .await?;
        // Room enough to write configurations; three quarters of it is what the server takes for its limit.
        disk.fill_but(1 << 20)?;
        run(folder, port, 1, async |client, said| fill_and_free(client, port..port + 1, disk, said).await).await
    })
    .await
}

async fn is_said_and_ends(servers: u16) -> anyhow::Result<()> {
    with_a_disk(servers, async |folder, port, disk| {
        run(folder, port, servers, async |client, said| {
            client.commit(Request::new("CREATE kept:before"), PATIENCE).await?;
            disk.fill()?;
            fill_and_free(client, port..port + servers, disk, said).await
        })
        .await
    })
    .await
}

/// Does it in a folder whose NATS servers have a small disk of their own, where one can be mounted.
async fn with_a_disk(
    servers: u16,
    does: impl AsyncFnOnce(&Path, u16, &Disk) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if let Some(why) = disks_impossible() {
        eprintln!("left out, because no disk can be mounted here: {why}");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let disk = Disk::mount_sized(&folder.path().join("data/nats"), u64::from(servers) * DISK_MB)?;
    does(folder.path(), free_ports_in_a_row(servers)?, &disk).await
}

/// Does it while `holdfast up` serves, which it ends.
async fn run(
    folder: &Path,
    port: u16,
    servers: u16,
    does: impl AsyncFnOnce(&Client, &Said) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (mut child, said) = start_up(folder, port, servers)?;
    let outcome = async { does(&served(port, &said).await?, &said).await }.await;
    let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
    let ended = until("holdfast up to end", Duration::from_secs(60), async || {
        child.try_wait().map_err(|error| error.to_string())?.ok_or_else(|| "still running".to_owned())
    })
    .await;
    if ended.is_err() {
        let _ = child.kill();
    }
    outcome?;
    ended.map(drop)
}
