//! A service as a real process: when it says that it is ready, and how each way to stop it ends.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use support::{BOUND, NatsServer};

struct Process {
    child: Child,
    ready: PathBuf,
}

impl Process {
    /// Starts the example, and returns when it says that it is ready.
    fn ready(server: &NatsServer, settings: &[(&str, &str)]) -> Self {
        let ready = std::env::temp_dir().join(format!("holdfast-ready-{}", ulid::Ulid::generate()));
        let mut command = Command::new(program());
        command.env("HOLDFAST_NATS__URL", &server.url).env("HOLDFAST_READY_FILE", &ready);
        command.envs(settings.iter().copied()).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut process = Self { child: command.spawn().unwrap(), ready };
        let until = Instant::now() + BOUND;
        while !process.ready.exists() {
            assert_eq!(process.child.try_wait().unwrap(), None, "it ended before it was ready");
            assert!(Instant::now() < until, "no ready file at {}", process.ready.display());
            std::thread::yield_now();
        }
        process
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the process did not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.ready);
    }
}

/// Cargo builds examples beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples/tiny_service")
}

#[test]
fn one_signal_ends_it_in_order() {
    let server = NatsServer::start(&[]);
    for name in ["TERM", "INT"] {
        let mut process = Process::ready(&server, &[]);
        process.signal(name);
        assert_eq!(process.end().code(), Some(0), "after {name}");
    }
}

#[test]
fn the_end_of_standard_input_ends_it_where_that_is_asked_for() {
    let server = NatsServer::start(&[]);
    let mut process = Process::ready(&server, &[("HOLDFAST_EXIT_ON_STDIN_EOF", "1")]);
    drop(process.child.stdin.take());
    assert_eq!(process.end().code(), Some(0));
}

#[test]
fn the_grace_period_is_a_bound() {
    let server = NatsServer::start(&[]);
    let settings = [("HOLDFAST_EXECUTION__STUBBORN", "true"), ("HOLDFAST_LIFECYCLE__GRACE_MS", "50")];
    let mut process = Process::ready(&server, &settings);
    process.signal("TERM");
    assert_eq!(process.end().code(), Some(1));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = NatsServer::start(&[]);
    let settings = [("HOLDFAST_EXECUTION__STUBBORN", "true"), ("HOLDFAST_LIFECYCLE__GRACE_MS", "600000")];
    let mut process = Process::ready(&server, &settings);
    // Two signals of one kind may arrive as one; two kinds arrive as two.
    process.signal("TERM");
    process.signal("INT");
    assert_eq!(process.end().code(), Some(130));
}
