//! A group is run by one system, and a CSP's name belongs to one process: whoever comes second is refused by name, and the first
//! notices nothing.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{free_ports, nats_server_binary, service_binary};
use holdfast_tests::up::{Up, holdfast, succeeds};
use holdfast_tests::wait::until;
use serde_json::Value;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// A NATS server that belongs to nobody's system.
struct Nats {
    server: Child,
    url: String,
    _store: tempfile::TempDir,
}

impl Nats {
    async fn start() -> anyhow::Result<Self> {
        let store = tempfile::tempdir()?;
        let port = free_ports(1)?[0];
        let server = Command::new(nats_server_binary()?)
            .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"])
            .arg(store.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let nats = Self { server, url: format!("nats://127.0.0.1:{port}"), _store: store };
        until("NATS to listen", PATIENCE, async || nats.client("demo").await).await?;
        Ok(nats)
    }

    async fn client(&self, group: &str) -> anyhow::Result<Client> {
        Client::connect(std::slice::from_ref(&self.url), group).await
    }

    fn up(&self, data: &Path, options: &[&str]) -> anyhow::Result<Up> {
        Up::start(data, &[&["--nats", &self.url], options].concat())
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A client that writes for as long as it is let, and must never be refused.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<()>>,
    written: Arc<AtomicU64>,
}

impl Writer {
    fn start(client: Client, name: &'static str) -> Self {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&written));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let sql = format!("UPSERT counter:{name} SET number = (number ?? 0) + 1 RETURN NONE");
                client.update(&Request::new(sql)).await.done()?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { stop, task, written }
    }

    async fn stopped(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await??;
        Ok(self.written.load(Ordering::Relaxed))
    }
}

async fn status(url: &str, group: &str) -> anyhow::Result<Value> {
    succeeds(&["status", "--nats", url, "--group", group]).await
}

/// What changes when somebody disturbs a group: its epochs, and the processes of its system.
async fn peace(url: &str, up: &Up) -> anyhow::Result<Value> {
    let status = status(url, "demo").await?;
    let epochs: Vec<&Value> = status["csps"].as_array().into_iter().flatten().map(|csp| &csp["epoch"]).collect();
    let children: Vec<String> = up.children()?.iter().map(|(name, pid)| format!("{name} {pid}")).collect();
    Ok(serde_json::json!([epochs, children]))
}

/// Waits until an `up` that is refused has ended, and gives what it said.
async fn refused(mut up: Up) -> anyhow::Result<String> {
    let status = up.ended().await?;
    let said = up.said().join("\n");
    anyhow::ensure!(status.code() == Some(3), "ended with {status}: {said}");
    anyhow::ensure!(up.children()?.is_empty() && !said.contains("started (pid"), "services were started: {said}");
    Ok(said)
}

fn run_by(data: &Path) -> String {
    let host = holdfast_foundation::config::host_name();
    format!("group demo is run by {host}:{}", data.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_system_is_refused_by_name_and_the_first_notices_nothing() -> anyhow::Result<()> {
    let (nats, folder) = (Nats::start().await?, tempfile::tempdir()?);
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let mut first = nats.up(&a, &[])?;
    first.ready().await?;
    let client = nats.client("demo").await?;
    let writers = [Writer::start(client.clone(), "one"), Writer::start(client.clone(), "two")];
    let before = peace(&nats.url, &first).await?;

    for options in [&[][..], &["--take-over"]] {
        let said = refused(nats.up(&b, options)?).await?;
        anyhow::ensure!(said.contains(&run_by(&a)) && said.contains("--csp-prefix"), "{said}");
    }
    for writer in writers {
        anyhow::ensure!(writer.stopped().await? > 0, "nothing was written");
    }
    let after = peace(&nats.url, &first).await?;
    anyhow::ensure!(before == after, "the first system was disturbed: {before}, then {after}");
    anyhow::ensure!(succeeds(&["verify", "--nats", &nats.url]).await?["equal"] == true);

    // The same folder may always start again; another one only when an operator says so, and the first does not run.
    first.kill9()?;
    let mut first = nats.up(&a, &[])?;
    first.ready().await?;
    first.stop().await?;
    let said = refused(nats.up(&b, &[])?).await?;
    anyhow::ensure!(said.contains(&run_by(&a)) && said.contains("--take-over"), "{said}");
    let mut second = nats.up(&b, &["--take-over"])?;
    second.ready().await?;
    let said = refused(nats.up(&a, &["--take-over"])?).await?;
    anyhow::ensure!(said.contains(&run_by(&b)), "{said}");
    let counted = Request::new("SELECT VALUE number FROM counter").strong();
    let counted = client.read(&counted, PATIENCE).await.done()?;
    anyhow::ensure!(
        counted.results[0].as_array().map_or(0, Vec::len) == 2,
        "the copies were not built anew: {counted:?}"
    );
    second.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_start_at_the_same_time_exactly_one_runs_the_group() -> anyhow::Result<()> {
    let (nats, folder) = (Nats::start().await?, tempfile::tempdir()?);
    for round in 0..3 {
        let data = |name: &str| folder.path().join(format!("{name}{round}"));
        let (group, prefix) = (format!("g{round}"), format!("c{round}"));
        let options = ["--csps", "1", "--group", &group, "--csp-prefix", &prefix];
        let mut both = [nats.up(&data("a"), &options)?, nats.up(&data("b"), &options)?];
        let (mut ready, mut failed) = (Vec::new(), Vec::new());
        for up in &mut both {
            match up.ready().await {
                Ok(line) => ready.push(line),
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
        anyhow::ensure!(ready.len() == 1, "ready: {ready:?}, failed: {failed:?}");
        anyhow::ensure!(failed[0].contains(&format!("group {group} is run by")), "{failed:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_groups_on_one_nats_have_copies_of_their_own() -> anyhow::Result<()> {
    let (nats, folder) = (Nats::start().await?, tempfile::tempdir()?);
    let mut demo = nats.up(&folder.path().join("a"), &["--csps", "2"])?;
    demo.ready().await?;
    let data = folder.path().join("c");
    let mut unnamed = nats.up(&data, &["--csps", "2", "--group", "other"])?;
    let status = unnamed.ended().await?;
    let said = unnamed.said().join("\n");
    anyhow::ensure!(!status.success() && said.contains("--csp-prefix"), "{said}");
    let mut other = nats.up(&data, &["--csps", "2", "--group", "other", "--csp-prefix", "other"])?;
    other.ready().await?;
    for group in ["demo", "other"] {
        let client = nats.client(group).await?;
        client.commit(Request::new(format!("CREATE of:{group}")), PATIENCE).await?;
        let found = client.read(&Request::new("SELECT VALUE id FROM of").strong(), PATIENCE).await.done()?;
        anyhow::ensure!(found.results[0] == serde_json::json!([format!("of:{group}")]), "{found:?}");
    }
    other.stop().await?;
    let client = nats.client("demo").await?;
    client.commit(Request::new("CREATE of:more"), PATIENCE).await?;
    demo.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_of_a_csp_is_refused() -> anyhow::Result<()> {
    let (nats, folder) = (Nats::start().await?, tempfile::tempdir()?);
    let mut up = nats.up(&folder.path().join("a"), &[])?;
    up.ready().await?;
    let before = peace(&nats.url, &up).await?;

    let second = Command::new(service_binary("holdfast-replication")?)
        .env("HOLDFAST_NATS__URL", &nats.url)
        .env("HOLDFAST_REPLICATION__CSP", "csp-2")
        .env("HOLDFAST_REPLICATION__DATA_DIR", folder.path().join("second"))
        .env("HOLDFAST_REPLICATION__MEMORY_MB", "128")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let ended = tokio::task::spawn_blocking(move || second.wait_with_output());
    let ended = tokio::time::timeout(PATIENCE, ended).await???;
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    anyhow::ensure!(!ended.status.success(), "the second process ran: {said}");
    anyhow::ensure!(said.contains("csp-2 of group demo runs already"), "{said}");
    anyhow::ensure!(peace(&nats.url, &up).await? == before, "the first one was disturbed");

    let moved = holdfast(&["primary", "move", "csp-2", "--nats", &nats.url]).await?;
    anyhow::ensure!(moved.code == Some(0), "{moved:?}");
    let client = nats.client("demo").await?;
    client.commit(Request::new("CREATE of:csp SET name = 'csp-2'"), PATIENCE).await?;
    let status = status(&nats.url, "demo").await?;
    let states = status["csps"].as_array().into_iter().flatten().map(|csp| &csp["state"]);
    anyhow::ensure!(states.clone().count() == 3 && states.clone().all(|state| state == "available"), "{status}");
    up.stop().await
}
