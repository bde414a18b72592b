//! A real nats-server with JetStream for one test, on a free port, with its data in a temporary folder; gone with the test.
//! And service processes beside it, started the way that users start them.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long anything in these tests may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct NatsServer {
    child: Child,
    pub url: String,
    pub folder: TempDir,
}

impl NatsServer {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// With further lines of configuration.
    pub async fn start_with(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = folder.path().join("ports");
        std::fs::create_dir(&ports).unwrap();
        let file = folder.path().join("nats.conf");
        std::fs::write(&file, configuration).unwrap();
        let child = Command::new(nats_binary())
            .args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"])
            .arg(folder.path().join("data"))
            .arg("--ports_file_dir")
            .arg(&ports)
            .arg("--config")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        let mut server = Self { child, url: String::new(), folder };
        server.url = until("the ports file of nats-server", || {
            let file = std::fs::read_dir(&ports).ok()?.next()?.ok()?.path();
            let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
            Some(ports["nats"][0].as_str()?.to_owned())
        })
        .await;
        server
    }

    pub async fn connect(&self) -> async_nats::Client {
        async_nats::ConnectOptions::new().retry_on_initial_connect().connect(&self.url).await.unwrap()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service process that is killed with the test.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a service and waits until it says that it is ready. `settings` are further environment variables.
    pub async fn start(binary: &str, server: &NatsServer, settings: &[(&str, &str)]) -> Self {
        let ready = server.folder.path().join(format!("ready-{}", next_number()));
        let log = server.folder.path().join("service.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(binary)
            .current_dir(server.folder.path())
            .env("HOLDFAST_NATS__URL", &server.url)
            .env("HOLDFAST_READY_FILE", &ready)
            .envs(settings.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the service starts");
        let mut process = Self { child };
        let folder = server.folder.path().to_owned();
        until("the ready file of the service", || {
            if let Some(status) = process.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(folder.join("service.log")).unwrap_or_default();
                panic!("the service ended with {status}:\n{log}");
            }
            ready.exists().then_some(())
        })
        .await;
        process
    }

    /// Ends it without a word, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(mut self) -> std::process::ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        until("the end of the service", || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again, with a bound.
pub async fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn nats_binary() -> PathBuf {
    if let Some(server) = std::env::var_os("HOLDFAST_NATS_SERVER") {
        return server.into();
    }
    let fetched = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/nats-server");
    if fetched.exists() { fetched } else { PathBuf::from("nats-server") }
}

/// A number that no other start in this process gets.
fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
