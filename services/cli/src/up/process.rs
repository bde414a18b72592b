//! Starts one child as a process and ends it again.

use std::{fs::OpenOptions, io::Write, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::{
    directory::{DataDirectory, write_whole},
    plan::{ChildPlan, OWN_SETTINGS, Readiness},
};
use crate::error::CliError;

/// How long a child may take to end after it was asked to: longer than the services' own grace.
const GRACE: Duration = Duration::from_secs(15);

/// How the line between two runs in one log begins.
const MARK: &str = "---- start of ";

/// A child that runs.
pub struct Process {
    child: Child,
    pid: i32,
    /// Open as long as we live: our services end when it closes. Kept apart because waiting would close it.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts it: output to its log, a pipe as its standard input that stays open as long as this process lives, a
    /// process group of its own so that Ctrl-C reaches only us and we can stop in order.
    ///
    /// # Errors
    /// The program or its log cannot be used.
    pub fn start(plan: &ChildPlan, directory: &DataDirectory) -> Result<Self, CliError> {
        let path = directory.log(&plan.name);
        let mut log =
            OpenOptions::new().create(true).append(true).open(&path).map_err(CliError::file("open", &path))?;
        // A mark between two runs in one log; a log that takes no mark takes no lines either, and the child says so.
        let _ = writeln!(log, "{MARK}{} ----", plan.name);
        let errors = log.try_clone().map_err(CliError::file("open", &path))?;
        forget_files(plan, directory);
        let mut command = Command::new(&plan.program);
        for name in OWN_SETTINGS {
            command.env_remove(name);
        }
        let mut child = command
            .args(&plan.arguments)
            .envs(plan.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(CliError::file("start", &plan.program))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let file = directory.pid(&plan.name);
        write_whole(&file, &format!("{pid}\n")).map_err(CliError::file("write", file))?;
        let stdin = child.stdin.take();
        Ok(Self { child, pid, _stdin: stdin })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until it ends by itself; says how.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Asks it to end, and kills it if it does not. Says whether it went by itself.
    pub async fn stop(&mut self) -> bool {
        self.signal(Signal::SIGTERM);
        if timeout(GRACE, self.child.wait()).await.is_ok() {
            return true;
        }
        self.kill().await;
        false
    }

    /// Ends it at once.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait().await;
    }

    /// A process that was collected already has no pid here, so that a number given to somebody else is never hit.
    fn signal(&self, signal: Signal) {
        if self.child.id().is_some() {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// Whether a line of a log is the mark between two runs.
pub fn is_mark(line: &str) -> bool {
    line.starts_with(MARK)
}

/// Removes what says that the child runs or is ready.
pub fn forget_files(plan: &ChildPlan, directory: &DataDirectory) {
    let _ = std::fs::remove_file(directory.pid(&plan.name));
    if let Readiness::File(path) = &plan.readiness {
        let _ = std::fs::remove_file(path);
    }
}
