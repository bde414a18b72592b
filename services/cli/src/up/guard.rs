//! `holdfast guard`: becomes another program that the kernel ends when its parent ends.
//!
//! nats-server does not watch its parent. This process asks the kernel for a signal at the parent's death and then turns
//! into nats-server by exec, which keeps both the wish and the process id. Our own services need no guard: they end when
//! their standard input is closed. What must not outlive its command in any of its parts has `guard_all`.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};

use super::guard_all;
use crate::{arguments::up::GuardOptions, error::CliError};

/// Turns into the program, and returns only if that fails; or runs it beside this process, if it is to end all that it starts.
///
/// # Errors
/// The parent is gone already, or the program cannot be started.
pub fn run(options: &GuardOptions) -> Result<ExitCode, CliError> {
    if let Some(grace_ms) = options.end_all_ms {
        return guard_all::run(options, Duration::from_millis(grace_ms));
    }
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(CliError::Usage("name a program behind --".to_owned()));
    };
    ask_to_end_with_parent(options.parent, Signal::SIGTERM)?;
    // A guard that waits for its signals has them blocked, and the program is none.
    let _ = SigSet::empty().thread_set_mask();
    let error = Command::new(program).args(arguments).exec();
    Err(CliError::file("start", program)(error))
}

/// The arguments with which this command guards a program.
#[must_use]
pub fn arguments(program: &Path, arguments: Vec<OsString>) -> Vec<OsString> {
    with_options(&[], program, arguments)
}

/// The same, to end with it all that it starts, and to kill what has not ended after so long.
#[must_use]
pub fn arguments_to_end_all(grace_ms: u64, program: &Path, arguments: Vec<OsString>) -> Vec<OsString> {
    with_options(&["--end-all-ms", &grace_ms.to_string()], program, arguments)
}

fn with_options(options: &[&str], program: &Path, arguments: Vec<OsString>) -> Vec<OsString> {
    let parent = std::process::id().to_string();
    let own = [&["guard", "--parent", &parent], options, &["--"]].concat();
    let mut all: Vec<OsString> = own.into_iter().map(OsString::from).collect();
    all.push(program.into());
    all.extend(arguments);
    all
}

/// Asks the kernel for a signal at the parent's end.
///
/// # Errors
/// The parent is gone already, or the kernel refuses.
pub fn ask_to_end_with_parent(parent: u32, signal: Signal) -> Result<(), CliError> {
    ask_for(signal)?;
    // The parent may have died before the wish was made: then nobody would carry it out.
    if std::os::unix::process::parent_id() != parent {
        return Err(CliError::Machine("the parent has ended: nothing was started, start it again".to_owned()));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn ask_for(signal: Signal) -> Result<(), CliError> {
    nix::sys::prctl::set_pdeathsig(signal).map_err(|errno| {
        CliError::Machine(format!(
            "the kernel refuses a signal at the parent's end ({errno}): start the program by hand and use --nats"
        ))
    })
}

/// Elsewhere the next `holdfast up` on the folder ends what was left over.
#[cfg(not(target_os = "linux"))]
fn ask_for(_signal: Signal) -> Result<(), CliError> {
    Ok(())
}
