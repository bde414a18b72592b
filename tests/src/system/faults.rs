//! What tests do to processes, their networks, disks and clocks, and how everything is made whole again.

use std::convert::Infallible;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::services::{clock_file, copy_folder, hold_file, stop_file};
use super::{System, process};
use crate::wait::until;

/// A slow process works for one of these and stands still for nine.
const SLOW_TURN: Duration = Duration::from_millis(10);

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
            let mut processes = self.processes();
            let process = processes.get_mut(name).ok_or("there is none")?;
            let ended = process.exit_status().ok_or("still running")?;
            process.remove();
            Ok::<_, &str>(ended)
        })
        .await
    }

    /// Stops a process in the middle of whatever it does (SIGSTOP).
    pub fn pause(&self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::SIGSTOP)
    }

    /// The same, and waits until all of its threads stand still: what is sent to it from then on lies in its inbox.
    pub async fn pause_whole(&self, name: &str) -> anyhow::Result<()> {
        self.pause(name)?;
        until(&format!("{name} to stand still"), super::PATIENCE, async || {
            let id = self.processes().get(name).and_then(process::Process::id).ok_or("it does not run")?;
            if process::stands_still(id) { Ok(()) } else { Err("it still runs") }
        })
        .await
    }

    /// Lets a paused process go on (SIGCONT).
    pub fn resume(&self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::SIGCONT)
    }

    /// Makes a process ten times as slow, for as long as the future is polled.
    pub async fn slow(&self, name: &str) -> anyhow::Result<Infallible> {
        let _goes_on = Resumes { system: self, name };
        loop {
            self.pause(name)?;
            tokio::time::sleep(9 * SLOW_TURN).await;
            self.resume(name)?;
            tokio::time::sleep(SLOW_TURN).await;
        }
    }

    /// Takes all room that is left on a CSP's own disk. The CSP may end because of it; whoever runs it starts it again.
    pub fn fill_disk(&self, csp: &str) -> anyhow::Result<()> {
        if let Some(process) = self.processes().get_mut(csp) {
            process.may_end();
        }
        self.disks.get(csp).ok_or_else(|| anyhow::anyhow!("{csp} has no disk of its own"))?.fill()
    }

    /// Sets the wall clock of a service this much ahead of the machine's, or behind it.
    pub fn step_clock(&self, name: &str, by_ms: i64) -> anyhow::Result<()> {
        anyhow::ensure!(self.options.own_clocks, "{name} has no clock of its own");
        Ok(std::fs::write(clock_file(&self.folder, name), by_ms.to_string())?)
    }

    /// Tells a CSP to stop (as by SIGSTOP) when it next reaches the step that its options name, and
    /// waits until it has.
    pub async fn stop_at_step(&self, csp: &str) -> anyhow::Result<()> {
        std::fs::write(stop_file(&self.folder, csp), "")?;
        until(&format!("{csp} to stop at its step"), super::PATIENCE, async || match self.process_state(csp) {
            Some('T') => Ok(()),
            state => Err(format!("its state is {state:?}")),
        })
        .await
    }

    /// The end of what a process has logged.
    pub fn log_tail(&self, name: &str) -> String {
        self.processes().get(name).map(super::process::Process::log_tail).unwrap_or_default()
    }

    /// Keeps a CSP from applying anything until everything is healed; its heartbeats and its answers go on.
    pub fn hold_apply(&self, csp: &str) -> anyhow::Result<()> {
        anyhow::ensure!(self.options.holds_apply, "{csp} was not started to be held");
        Ok(std::fs::write(hold_file(&self.folder, csp), "")?)
    }

    /// Lets a CSP end by itself: whoever runs it starts it again.
    pub fn may_end(&self, name: &str) {
        if let Some(process) = self.processes().get_mut(name) {
            process.may_end();
        }
    }

    /// The number of a running process.
    pub fn process_id(&self, name: &str) -> anyhow::Result<u32> {
        let id = self.processes().get(name).and_then(super::process::Process::id);
        id.ok_or_else(|| anyhow::anyhow!("{name} does not run"))
    }

    /// Cuts a NATS server off from the others, silently; clients still reach all of them.
    pub fn isolate(&self, server: &str) -> anyhow::Result<()> {
        let number: Option<usize> = server.strip_prefix("nats-").and_then(|number| number.parse().ok());
        let (routes, number) =
            self.routes.as_ref().zip(number).ok_or_else(|| anyhow::anyhow!("{server} has no routes"))?;
        routes.isolate(number - 1);
        Ok(())
    }

    /// What stands on one machine, and is lost with it: processes of one number, one of each kind.
    pub fn machine(&self, number: usize) -> Vec<String> {
        let kinds = ["nats", "csp", "execution", "supervision", "administration"];
        let names = self.names();
        kinds.map(|kind| format!("{kind}-{number}")).into_iter().filter(|name| names.contains(name)).collect()
    }

    /// Fails if a process ended by itself, also if it was started again since: one that is not killed has to live.
    pub fn all_alive(&self) -> anyhow::Result<()> {
        for (name, process) in self.processes().iter_mut() {
            if let Some(status) = process.ended_by_itself() {
                anyhow::bail!("{name} ended by itself: {status}\n{}", process.log_tail());
            }
        }
        Ok(())
    }

    /// Removes a CSP's copy while it is not running, so that it starts as an empty one.
    pub fn remove_copy(&self, csp: &str) -> anyhow::Result<()> {
        let folder = copy_folder(&self.folder, csp);
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

    /// Ends every fault, starts whatever does not run, and waits until the group is whole again.
    pub async fn heal(&self) -> anyhow::Result<()> {
        self.networks.values().for_each(super::Network::heal);
        self.routes.iter().for_each(super::Routes::heal);
        self.disks.values().try_for_each(super::disk::Disk::free)?;
        for name in self.names() {
            // It is no fault if there was nothing to put right.
            let _ = std::fs::remove_file(clock_file(&self.folder, &name));
            let _ = std::fs::remove_file(hold_file(&self.folder, &name));
        }
        // Again and again: a process may be about to end because of what it met while its disk was full.
        until("the group to be whole", super::PATIENCE, async || {
            for name in self.names() {
                self.start_process(&name).and_then(|()| self.resume(&name)).map_err(|error| format!("{error:#}"))?;
            }
            self.whole().await
        })
        .await?;
        self.until_serving().await
    }

    /// The state of a process as the kernel calls it (`R`, `S`, `T`, `Z`); none when it does not run.
    pub fn process_state(&self, name: &str) -> Option<char> {
        process::state(self.processes().get(name)?.id()?)
    }

    fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let processes = self.processes();
        processes.get(name).ok_or_else(|| anyhow::anyhow!("there is no {name}"))?.signal(signal)
    }
}

/// Lets a process go on, however the work on it ends.
struct Resumes<'a> {
    system: &'a System,
    name: &'a str,
}

impl Drop for Resumes<'_> {
    fn drop(&mut self) {
        // A process that is gone needs nothing.
        let _ = self.system.resume(self.name);
    }
}
