//! `holdfast guard` as a process: what it becomes ends with its parent, however that ends.

#[allow(dead_code, reason = "shared with the test of a whole system, which uses all of it")]
mod support;

use std::process::{Command, Stdio};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{runs, until};

const HOLDFAST: &str = env!("CARGO_BIN_EXE_holdfast");

#[test]
fn the_program_ends_when_its_parent_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    // The program writes the process id that it has after all the turning into one another.
    let program = format!("echo $$ > {}.new; mv {0}.new {0}; exec sleep 600", pid_file.display());
    let script = format!("{HOLDFAST} guard --parent $$ -- sh -c '{program}' & wait");
    let mut parent = Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).spawn().unwrap();
    until("the program runs", || pid_file.exists());
    let program: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
    assert!(runs(program));

    kill(Pid::from_raw(i32::try_from(parent.id()).unwrap()), Signal::SIGKILL).unwrap();
    parent.wait().unwrap();

    until("the program has ended", || !runs(program));
}

#[test]
fn without_its_parent_the_program_is_not_started() {
    let output = Command::new(HOLDFAST).args(["guard", "--parent", "1", "--", "echo", "started"]).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the parent has ended"));
}
