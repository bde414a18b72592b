//! A real nats-server on a free port, with its data in a folder of its own; both are gone when it is dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const BOUND: Duration = Duration::from_secs(20);

pub struct NatsServer {
    process: Child,
    folder: PathBuf,
    pub url: String,
}

impl NatsServer {
    pub fn start(extra: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("holdfast-nats-{}", ulid::Ulid::generate()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(program());
        command.args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"]).arg(&folder);
        // The server writes its address into a file there, so no port is guessed.
        command.arg("--ports_file_dir").arg(&folder).args(extra);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nats-server starts");
        let mut server = Self { process, folder, url: String::new() };
        server.url = server.address();
        server
    }

    fn address(&self) -> String {
        let until = Instant::now() + BOUND;
        loop {
            if let Some(url) = ports_file(&self.folder).and_then(|path| first_url(&path)) {
                return url;
            }
            assert!(Instant::now() < until, "nats-server wrote no ports file into {}", self.folder.display());
            std::thread::yield_now();
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn program() -> PathBuf {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/nats-server");
    match std::env::var_os("HOLDFAST_NATS_SERVER") {
        Some(named) => named.into(),
        None if fetched.exists() => fetched,
        None => "nats-server".into(),
    }
}

fn ports_file(folder: &Path) -> Option<PathBuf> {
    let mut entries = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    entries.find(|path| path.extension().is_some_and(|extension| extension == "ports"))
}

fn first_url(path: &Path) -> Option<String> {
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    ports["nats"][0].as_str().map(str::to_owned)
}
