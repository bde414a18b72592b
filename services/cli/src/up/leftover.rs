//! Ends what an earlier `holdfast up` left running when it was killed.
//!
//! A process id in a file proves nothing: the number may belong to somebody else by now. So every child carries the
//! folder in its environment, and only a process that still carries it is ended.

use std::{fs, os::unix::ffi::OsStrExt, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use super::{directory::DataDirectory, terminal::Terminal};

/// Names the data folder in the environment of every child.
pub const MARK: &str = "HOLDFAST_UP_DATA";

const GRACE: Duration = Duration::from_secs(12);

/// Ends every leftover and waits until it is gone.
pub async fn end_all(directory: &DataDirectory, terminal: Terminal) {
    let left: Vec<(String, i32)> =
        directory.recorded_pids().into_iter().filter(|(_, pid)| is_ours(*pid, directory)).collect();
    for (name, pid) in &left {
        terminal.say(name, &format!("was left over by an earlier run (pid {pid}), ending it"));
        let _ = kill(Pid::from_raw(*pid), Signal::SIGTERM);
    }
    let deadline = Instant::now() + GRACE;
    for (name, pid) in &left {
        while is_ours(*pid, directory) {
            if Instant::now() >= deadline {
                terminal.say(name, "does not end, killing it");
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether the process is alive and was started for this folder. A process that ended and was not yet collected by its
/// parent has no environment any more, and counts as gone.
fn is_ours(pid: i32, directory: &DataDirectory) -> bool {
    let mut mark = format!("{MARK}=").into_bytes();
    mark.extend_from_slice(directory.root().as_os_str().as_bytes());
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == mark))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{MARK, end_all};
    use crate::up::{
        directory::{DataDirectory, write_whole},
        terminal::Terminal,
    };

    #[tokio::test]
    async fn only_what_carries_the_folder_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path()).unwrap();
        let _ownership = directory.take().unwrap();
        let start = |mark: &str| Command::new("sleep").arg("600").env(MARK, mark).stdin(Stdio::null()).spawn().unwrap();
        let mut ours = start(directory.root().to_str().unwrap());
        let mut foreign = start("/elsewhere");
        write_whole(&directory.pid("ours"), &ours.id().to_string()).unwrap();
        write_whole(&directory.pid("foreign"), &foreign.id().to_string()).unwrap();

        end_all(&directory, Terminal::new(false)).await;

        assert!(!ours.wait().unwrap().success());
        assert!(foreign.try_wait().unwrap().is_none(), "the foreign process was ended");
        foreign.kill().unwrap();
        foreign.wait().unwrap();
    }
}
