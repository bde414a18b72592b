//! `holdfast guard`: becomes another program that the kernel ends when its parent ends.
//!
//! nats-server does not watch its parent. This process asks the kernel for a signal at the parent's death and then turns
//! into nats-server by exec, which keeps both the wish and the process id. Our own services need no guard: they end when
//! their standard input is closed.

use std::{ffi::OsString, os::unix::process::CommandExt, path::Path, process::Command};

use crate::{arguments::up::GuardOptions, error::CliError};

/// Turns into the program; returns only if that fails.
///
/// # Errors
/// The parent is gone already, or the program cannot be started.
pub fn run(options: &GuardOptions) -> Result<(), CliError> {
    let Some((program, arguments)) = options.command.split_first() else {
        return Err(CliError::Usage("name a program behind --".to_owned()));
    };
    ask_to_end_with_parent()?;
    // The parent may have died before the wish was made: then nobody would carry it out.
    if std::os::unix::process::parent_id() != options.parent {
        return Err(CliError::Machine("the parent has ended: start the program through `holdfast up`".to_owned()));
    }
    let error = Command::new(program).args(arguments).exec();
    Err(CliError::file("start", program)(error))
}

/// The arguments with which this command guards a program.
#[must_use]
pub fn arguments(program: &Path, arguments: Vec<OsString>) -> Vec<OsString> {
    let parent = std::process::id().to_string();
    let mut all: Vec<OsString> = ["guard", "--parent", &parent, "--"].map(OsString::from).into();
    all.push(program.into());
    all.extend(arguments);
    all
}

#[cfg(target_os = "linux")]
fn ask_to_end_with_parent() -> Result<(), CliError> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM).map_err(|errno| {
        CliError::Machine(format!(
            "the kernel refuses a signal at the parent's end ({errno}): start the program by hand and use --nats"
        ))
    })
}

/// Elsewhere the next `holdfast up` on the folder ends what was left over.
#[cfg(not(target_os = "linux"))]
fn ask_to_end_with_parent() -> Result<(), CliError> {
    Ok(())
}
