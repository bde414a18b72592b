//! A whole system under `holdfast up`, as a person starts one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::system::{nats_server_binary, service_binary};
use crate::wait::until;

/// How long a start or an end may take on a busy machine of two cores.
const PATIENCE: Duration = Duration::from_secs(90);

/// One `holdfast up`, from its start to its end. Dropping it kills it, and its children end with it.
#[derive(Debug)]
pub struct Up {
    child: Child,
    data: PathBuf,
    said: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// How one `holdfast` command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub output: String,
    /// What it wrote to standard error.
    pub errors: String,
}

impl Up {
    /// Starts one on this folder; waits for nothing.
    pub fn start(data: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let mut child = command(&["up", "--json", "--memory-mb", "128", "--data"])?
            .env("HOLDFAST_NATS_SERVER", nats_server_binary()?)
            .arg(data)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = Arc::default();
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let readers = [listen(Arc::clone(&said), output), listen(Arc::clone(&said), errors)];
        Ok(Self { child, data: data.to_owned(), said, readers: readers.into_iter().flatten().collect() })
    }

    /// Waits for the ready line, and gives what it says.
    pub async fn ready(&mut self) -> anyhow::Result<String> {
        let what = format!("the ready line of `up` on {}", self.data.display());
        let ready = until(&what, PATIENCE, async || {
            let ready = self.said().into_iter().find(|line| line.contains("\"up\"") && line.contains("ready after"));
            match (ready, self.child.try_wait()) {
                (Some(ready), _) => Ok(Ok(ready)),
                (None, Ok(None)) => Err(self.said().join("\n")),
                (None, ended) => Ok(Err(ended)),
            }
        });
        ready.await?.map_err(|ended| anyhow::anyhow!("it ended ({ended:?}): {}", self.last_words()))
    }

    /// Everything that it has said.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything that it has said, once it has ended: its last words may still be on their way then.
    fn last_words(&mut self) -> String {
        for reader in self.readers.drain(..) {
            // A reader that failed has read what there was.
            let _ = reader.join();
        }
        self.said().join("\n")
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where NATS is, once it is ready.
    pub fn url(&self) -> anyhow::Result<String> {
        let card: Value = serde_json::from_slice(&fs::read(self.data.join("run/system.json"))?)?;
        Ok(card["nats"].as_str().unwrap_or_default().to_owned())
    }

    /// The process ids of its children.
    pub fn children(&self) -> anyhow::Result<BTreeMap<String, i32>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(self.data.join("run"))? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.extension().is_some_and(|extension| extension == "pid")
                && let Some(pid) = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok())
            {
                found.insert(name, pid);
            }
        }
        Ok(found)
    }

    /// How often a child was started.
    pub fn starts(&self, name: &str) -> usize {
        let log = fs::read_to_string(self.data.join("log").join(format!("{name}.log"))).unwrap_or_default();
        log.lines().filter(|line| line.starts_with("---- start of ")).count()
    }

    /// Fails if it has ended.
    pub fn still_runs(&mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        anyhow::ensure!(ended.is_none(), "`up` ended ({ended:?}): {}", self.said().join("\n"));
        Ok(())
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = until("`up` to end", PATIENCE, async || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}, last {:?}", self.said().last())),
        });
        let status = ended.await?;
        self.last_words();
        Ok(status)
    }

    /// Ends it as a person does, and waits until it has.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.ended().await?;
        anyhow::ensure!(status.success(), "`up` ended with {status}: {}", self.said().join("\n"));
        Ok(())
    }

    /// Ends it without a chance to clean up.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), signal)?)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs one command to its end.
pub async fn holdfast(arguments: &[&str]) -> anyhow::Result<Ended> {
    let mut command = command(arguments)?;
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output()).await??;
    Ok(Ended {
        code: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs one command that must succeed; gives the JSON that it prints.
pub async fn succeeds(arguments: &[&str]) -> anyhow::Result<Value> {
    let ended = holdfast(&[arguments, &["--json"]].concat()).await?;
    anyhow::ensure!(ended.code == Some(0), "{arguments:?}: {ended:?}");
    Ok(serde_json::from_str(&ended.output).unwrap_or_default())
}

fn command(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(service_binary("holdfast")?);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOLDFAST_") && name != "HOLDFAST_BIN_DIR") {
        command.env_remove(name);
    }
    command.args(arguments);
    Ok(command)
}

fn listen(said: Arc<Mutex<Vec<String>>>, from: Option<impl Read + Send + 'static>) -> Option<JoinHandle<()>> {
    let from = BufReader::new(from?);
    Some(std::thread::spawn(move || {
        for line in from.lines().map_while(Result::ok) {
            eprintln!("up: {line}");
            said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }))
}
