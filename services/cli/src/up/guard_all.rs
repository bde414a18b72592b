//! `holdfast guard --end-all-ms MS`: runs a program, and ends with it everything that it has started.
//!
//! What runs under a lock must not go on without it, and neither must what it left in the background. A process group would
//! lose whoever makes one of its own, and the terminal with its keys belongs to one group at a time. So this process asks the
//! kernel to give it all orphans among its descendants. Whatever the program starts then stays below it, however it detaches,
//! and it has ended everything when it has no child left.
//!
//! It ends all of it when the program has ended, when its parent ends (the kernel sends it the same signal then), or when its
//! parent says so: first with SIGTERM, and what is left after a while with SIGKILL. If it is killed itself, the kernel still
//! ends the program (`guard`).

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::guard;
use crate::{arguments::up::GuardOptions, error::CliError};

/// Tells this process to end everything.
pub const END_ALL: Signal = Signal::SIGUSR1;
/// What shells add to the number of the signal that ended a command.
const SIGNALLED: i32 = 128;
/// How often it is looked whether everything has ended, at first.
const LOOK: Duration = Duration::from_millis(5);
/// And at last, where something cannot be ended.
const LOOK_MAX: Duration = Duration::from_millis(500);

/// Runs the program until it and everything that it started have ended, and gives its exit code as a shell would.
///
/// # Errors
/// The parent is gone already, or the program cannot be started.
pub fn run(options: &GuardOptions, grace: Duration) -> Result<ExitCode, CliError> {
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(CliError::Usage("name a program behind --".to_owned()));
    };
    // Blocked, so that they wait until they are asked for. Those of the terminal reach the program by themselves.
    let signals =
        SigSet::from_iter([END_ALL, Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP]);
    signals.thread_block().map_err(refused)?;
    adopt_orphans().map_err(refused)?;
    guard::ask_to_end_with_parent(options.parent, END_ALL)?;
    let this = std::env::current_exe().map_err(CliError::file("find", "this program"))?;
    let started = Command::new(&this).args(guard::arguments(program.as_ref(), arguments.to_vec())).spawn();
    let started = started.map_err(CliError::file("start", this))?;
    let mut family = Family { program: Pid::from_raw(started.id().cast_signed()), code: None };
    family.watch(&signals);
    family.end(grace);
    Ok(ExitCode::from(family.code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)))
}

fn refused(errno: Errno) -> CliError {
    CliError::Machine(format!("the kernel refuses what is needed to run a command ({errno})"))
}

/// The program, and what it has started.
struct Family {
    program: Pid,
    /// The exit code of the program, once it has ended.
    code: Option<i32>,
}

impl Family {
    /// Passes on what it is told, until the program has ended or everything is to end.
    fn watch(&mut self, signals: &SigSet) {
        loop {
            match signals.wait() {
                Ok(END_ALL) | Err(_) => return,
                Ok(Signal::SIGTERM) => drop(self.tell(Signal::SIGTERM)),
                Ok(Signal::SIGCHLD) => {
                    self.collect();
                    if self.code.is_some() {
                        return;
                    }
                }
                Ok(_) => {}
            }
        }
    }

    /// Ends everything.
    fn end(&mut self, grace: Duration) {
        if !self.collect() {
            return;
        }
        drop(self.tell(Signal::SIGTERM));
        let end = Instant::now() + grace;
        let (mut look, mut said) = (LOOK, false);
        while self.collect() {
            if Instant::now() >= end {
                let protected = self.tell(Signal::SIGKILL);
                if !protected.is_empty() && !std::mem::replace(&mut said, true) {
                    say_protected(&protected);
                }
                look = if protected.is_empty() { LOOK } else { LOOK_MAX.min(look * 2) };
            }
            std::thread::sleep(look);
        }
    }

    /// Collects those who have ended; whether any are left.
    fn collect(&mut self) -> bool {
        loop {
            let (ended, code) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(ended, code)) => (ended, code),
                Ok(WaitStatus::Signaled(ended, signal, _)) => (ended, SIGNALLED + signal as i32),
                Ok(WaitStatus::StillAlive) => return true,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return false,
            };
            if ended == self.program {
                self.code = Some(code);
            }
        }
    }

    /// Everybody; returns those whom it may not be told. Those who are collected by somebody else meanwhile are not there any
    /// more, which is no error.
    fn tell(&self, signal: Signal) -> Vec<Pid> {
        self.everybody().into_iter().filter(|process| kill(*process, signal) == Err(Errno::EPERM)).collect()
    }

    #[cfg(target_os = "linux")]
    fn everybody(&self) -> Vec<Pid> {
        descendants(std::process::id().cast_signed()).into_iter().map(Pid::from_raw).collect()
    }

    /// Without Linux's orphans and /proc it is the program alone.
    #[cfg(not(target_os = "linux"))]
    fn everybody(&self) -> Vec<Pid> {
        self.code.is_none().then_some(self.program).into_iter().collect()
    }
}

/// Somebody has to end those, and the lock is kept until then.
fn say_protected(processes: &[Pid]) {
    let which: Vec<String> = processes.iter().map(ToString::to_string).collect();
    eprintln!(
        "what the command started belongs to another user and cannot be ended from here: process {}. It is waited for, \
         and the lock is not given back before. To end it: sudo kill -9 {}",
        which.join(", "),
        which.join(" "),
    );
}

#[cfg(target_os = "linux")]
fn adopt_orphans() -> Result<(), Errno> {
    nix::sys::prctl::set_child_subreaper(true)
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() -> Result<(), Errno> {
    Ok(())
}

/// All processes below this one, parents before their children.
#[cfg(target_os = "linux")]
fn descendants(process: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let parents: Vec<(i32, i32)> = processes.filter_map(|child| Some((child, parent_of(child)?))).collect();
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}

#[cfg(target_os = "linux")]
fn parent_of(process: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may hold anything; behind it come the state and the parent.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}
