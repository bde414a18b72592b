//! What tests do to processes.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::System;
use crate::wait::until;

impl System {
    /// Kills a process at once (SIGKILL).
    pub fn kill9(&self, name: &str) {
        if let Some(process) = self.processes().get_mut(name) {
            process.kill();
        }
    }

    /// Kills a process and starts it again at once, without waiting for anything.
    pub fn restart(&self, name: &str) -> anyhow::Result<()> {
        self.kill9(name);
        self.start_process(name)
    }

    /// Asks a process to end (SIGTERM) and waits until it has.
    pub async fn stop(&self, name: &str) -> anyhow::Result<String> {
        self.signal(name, Signal::SIGTERM)?;
        until(&format!("{name} to end"), Duration::from_secs(20), async || {
            self.processes().get_mut(name).and_then(|process| process.exit_status()).ok_or("still running")
        })
        .await
    }

    /// Stops a process in the middle of whatever it does (SIGSTOP).
    pub fn pause(&self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::SIGSTOP)
    }

    /// Lets a paused process go on (SIGCONT).
    pub fn resume(&self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::SIGCONT)
    }

    /// Fails if a process ended by itself: a process that is not killed has to live.
    pub fn all_alive(&self) -> anyhow::Result<()> {
        for (name, process) in self.processes().iter_mut() {
            if let Some(status) = process.exit_status() {
                anyhow::bail!("{name} ended by itself: {status}\n{}", process.log_tail());
            }
        }
        Ok(())
    }

    /// Removes a CSP's copy while it is not running, so that it starts as an empty one.
    pub fn remove_copy(&self, csp: &str) -> anyhow::Result<()> {
        let folder = self.folder.join(csp);
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        Ok(())
    }

    /// Changes a process's environment for its next start.
    pub fn set_environment(&self, name: &str, variable: &str, value: &str) {
        if let Some(process) = self.processes().get_mut(name) {
            process.specification_mut().environment.insert(variable.to_owned(), value.to_owned());
        }
    }

    /// Starts whatever does not run and waits until the group is whole again.
    pub async fn heal(&self) -> anyhow::Result<()> {
        for name in self.names() {
            self.start_process(&name)?;
        }
        self.until_available(&self.csps()).await?;
        self.until_serving().await
    }

    fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let processes = self.processes();
        processes.get(name).ok_or_else(|| anyhow::anyhow!("there is no {name}"))?.signal(signal)
    }
}
