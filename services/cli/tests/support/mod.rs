//! Runs `holdfast up` as a child and other commands beside it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A system that runs under `holdfast up`.
pub struct Up {
    child: Child,
    data: PathBuf,
    nats: String,
}

impl Up {
    /// Starts one on free ports and waits for its ready line.
    pub fn start(data: &Path, options: &[&str]) -> Self {
        let mut child = command(&["up", "--json", "--nats-port", "0"])
            .arg("--data")
            .arg(data)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let ready = lines.find(|line| {
            eprintln!("{line}");
            line.contains(r#""name":"up""#) && line.contains("ready after")
        });
        assert!(ready.is_some(), "no ready line: are all programs built and is nats-server there?");
        // Its further lines must go somewhere, or it would block.
        std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
        let card: Value = serde_json::from_slice(&fs::read(data.join("run/system.json")).unwrap()).unwrap();
        Self { child, data: data.to_owned(), nats: card["nats"].as_str().unwrap().to_owned() }
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Runs a command against it; returns the JSON that it prints.
    pub fn run(&self, arguments: &[&str]) -> Value {
        let output = succeeds(&[arguments, &["--json", "--nats", &self.nats]].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The names and process ids of its children.
    pub fn children(&self) -> Vec<(String, i32)> {
        let entries = fs::read_dir(self.data.join("run")).unwrap().map(|entry| entry.unwrap().path());
        let pid_files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "pid"));
        pid_files
            .map(|path| {
                let pid = fs::read_to_string(&path).unwrap().trim().parse().unwrap();
                (path.file_stem().unwrap().to_str().unwrap().to_owned(), pid)
            })
            .collect()
    }

    /// Ends it without a chance to clean up.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// Ends it as a person does.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGINT);
        let mut status = None;
        until("up has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{status:?}");
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Up {
    /// After a failed test: its children end with it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOLDFAST_") && name != "HOLDFAST_BIN_DIR") {
        command.env_remove(name);
    }
    if let Some(server) = nats_server() {
        command.env("HOLDFAST_NATS_SERVER", server);
    }
    command.args(arguments);
    command
}

/// The nats-server of the environment, else that of the checkout; without either it is the one on the PATH.
pub fn nats_server() -> Option<std::ffi::OsString> {
    std::env::var_os("HOLDFAST_NATS_SERVER").or_else(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/nats-server");
        path.is_file().then(|| path.into_os_string())
    })
}

/// Runs a command that must succeed.
pub fn succeeds(arguments: &[&str]) -> Output {
    let output = command(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a command that must fail; returns what it says.
pub fn fails(arguments: &[&str]) -> String {
    let output = command(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the process runs; one that ended and was not collected yet does not.
pub fn runs(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = state.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
    state.is_some_and(|state| state != 'Z')
}

/// Waits until the condition holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
