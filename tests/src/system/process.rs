//! One child process, in a process group of its own, that does not outlive the harness.
//!
//! Services watch their standard input and exit when it closes. nats-server does not, so a watchdog of one shell line
//! does it in its place.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::wait::until;

/// How a process is started, the first time and every time again.
#[derive(Clone, Debug)]
pub struct Specification {
    /// What tests call it: `csp-1`, `nats-1`.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, on top of the harness's own without everything that starts with `HOLDFAST_`.
    pub environment: BTreeMap<String, String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Where its output goes, appended.
    pub log: PathBuf,
    /// Whether it exits by itself when its standard input closes.
    pub watches_stdin: bool,
}

/// A process that may be running.
#[derive(Debug)]
pub struct Process {
    specification: Specification,
    running: Option<Running>,
    /// How it ended without being killed or told to, each time that it did.
    ended_by_itself: Vec<String>,
    /// Whether it has a reason to end.
    may_end: bool,
}

#[derive(Debug)]
struct Running {
    child: Child,
    watchdog: Option<Child>,
}

impl Process {
    /// A process that is not running yet.
    pub fn new(specification: Specification) -> Self {
        Self { specification, running: None, ended_by_itself: Vec::new(), may_end: false }
    }

    /// How it is started.
    pub fn specification_mut(&mut self) -> &mut Specification {
        &mut self.specification
    }

    /// Starts it, if it is not running.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.exit_status().is_none() && self.running.is_some() {
            return Ok(());
        }
        self.kill();
        let specification = &self.specification;
        let log = OpenOptions::new().create(true).append(true).open(&specification.log)?;
        let mut command = Command::new(&specification.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOLDFAST_")) {
            command.env_remove(name);
        }
        let child = command
            .args(&specification.arguments)
            .envs(&specification.environment)
            .current_dir(&specification.folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} does not start", specification.program.display()))?;
        let watchdog = if specification.watches_stdin { None } else { Some(watch(child.id())?) };
        self.running = Some(Running { child, watchdog });
        self.may_end = false;
        Ok(())
    }

    /// Kills it as a power cut would: nothing in it learns of it.
    pub fn kill(&mut self) {
        let ended = self.ended_unasked();
        self.ended_by_itself.extend(ended);
        self.remove();
    }

    /// Forgets a process that ended because it was told to.
    pub fn remove(&mut self) {
        if let Some(mut running) = self.running.take() {
            // The watchdog first: nobody may act on the process id once it is free for others.
            if let Some(watchdog) = &mut running.watchdog {
                let _ = watchdog.kill();
                let _ = watchdog.wait();
            }
            let _ = killpg(group(&running.child), Signal::SIGKILL);
            let _ = running.child.wait();
        }
    }

    /// Sends a signal to the whole process group.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let running = self.running.as_ref().with_context(|| format!("{} is not running", self.specification.name))?;
        killpg(group(&running.child), signal)
            .with_context(|| format!("{} does not take {signal}", self.specification.name))
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<String> {
        let running = self.running.as_mut()?;
        running.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// It has a reason to end, until it is started again.
    pub fn may_end(&mut self) {
        self.may_end = true;
    }

    /// How it ended without being killed or told to, the last time that it did.
    pub fn ended_by_itself(&mut self) -> Option<String> {
        self.ended_unasked().or_else(|| self.ended_by_itself.last().cloned())
    }

    fn ended_unasked(&mut self) -> Option<String> {
        self.exit_status().filter(|_| !self.may_end)
    }

    /// Closes the inputs that tell it and its watchdog that the harness lives.
    #[cfg(test)]
    pub(super) fn close_inputs(&mut self) {
        if let Some(running) = &mut self.running {
            running.child.stdin = None;
            running.watchdog.iter_mut().for_each(|watchdog| watchdog.stdin = None);
        }
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// The end of its output.
    pub fn log_tail(&self) -> String {
        const TAIL_BYTES: i64 = 3_000;
        let mut text = Vec::new();
        if let Ok(mut file) = std::fs::File::open(&self.specification.log) {
            let _ = file.seek(SeekFrom::End(-TAIL_BYTES));
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A shell that kills the process when the harness is gone, however it went.
fn watch(process: u32) -> anyhow::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", "read -r line; kill -9 -\"$1\" 2>/dev/null", "sh", &process.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("no shell to watch nats-server")
}

fn group(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Waits until the file that a service writes when it is ready exists; tells at once when the process died.
pub(super) async fn ready(
    name: &str,
    file: &std::path::Path,
    bound: Duration,
    mut ended: impl FnMut() -> Option<String>,
) -> anyhow::Result<()> {
    let end = until(&format!("{name} to become ready"), bound, async || match (file.exists(), ended()) {
        (true, _) => Ok(None),
        (false, Some(how)) => Ok(Some(how)),
        (false, None) => Err("running, not ready"),
    })
    .await?;
    end.map_or(Ok(()), |how| Err(anyhow::anyhow!("{name} ended instead of becoming ready: {how}")))
}

/// What the kernel says a process does: `S` sleeping, `R` running, `T` stopped, ...
pub(super) fn state(process: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may hold anything; fields are counted from behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.trim_start().chars().next()
}

/// Whether every thread of a process is stopped.
pub(super) fn stands_still(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut stats =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default()).peekable();
    let is_stopped =
        |stat: String| stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('T'));
    stats.peek().is_some() && stats.all(is_stopped)
}
