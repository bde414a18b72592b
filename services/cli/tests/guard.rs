//! `holdfast guard` as a process: what it becomes ends with its parent, however that ends.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const HOLDFAST: &str = env!("CARGO_BIN_EXE_holdfast");

/// A process that nobody waits for stays as a zombie; that counts as ended.
fn runs(pid: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = state.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    state.is_some_and(|state| state != 'Z')
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::yield_now();
    }
}

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
