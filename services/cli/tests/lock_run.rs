//! `holdfast lock run` as a process, beside a real nats-server and a group that only knows one lock. Needs nats-server
//! (`make tools`).

#[allow(dead_code, reason = "shared with the test of a whole system, which uses all of it")]
mod support;

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use holdfast_foundation::{bus::Bus, config::NatsConfig};
use holdfast_schemas::{
    ErrorCode, Message as _,
    message::{ErrorReply, LockAcquireReply, LockAcquireRequest, LockReleaseReply, LockReleaseRequest},
    subject,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{nats_server, runs, until};

const TOKEN: u64 = 41;

/// nats-server, and behind it somebody who answers for the group `demo`.
struct Scene {
    server: Child,
    url: String,
    folder: tempfile::TempDir,
    group: Arc<Group>,
    /// Keeps the group going.
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Group {
    is_held: AtomicBool,
    loses: AtomicBool,
    /// How long it takes until the lock is free, in milliseconds.
    queue_ms: AtomicU64,
    acquired: Mutex<Vec<LockAcquireRequest>>,
    released: Mutex<Vec<LockReleaseRequest>>,
}

impl Group {
    fn acquire(&self, body: &[u8]) -> Vec<u8> {
        let request = LockAcquireRequest::decode(body).unwrap();
        let refused = |code| ErrorReply::new(request.id.clone(), code, "no").encode();
        let reply = LockAcquireReply {
            id: request.id.clone().unwrap(),
            csp: "csp-1".to_owned(),
            name: request.name.clone(),
            token: TOKEN,
            lease_ms: request.lease_ms,
            expires_at_ms: 0,
            position: 1,
        };
        let is_lost = request.token.is_some() && self.loses.load(Ordering::Relaxed);
        let answer = match request.token {
            Some(_) if is_lost => refused(ErrorCode::LockLost),
            None if self.is_held.load(Ordering::Relaxed) => refused(ErrorCode::LockHeld),
            _ => reply.encode(),
        };
        self.acquired.lock().unwrap().push(request);
        answer
    }

    fn release(&self, body: &[u8]) -> Vec<u8> {
        let request = LockReleaseRequest::decode(body).unwrap();
        let (id, name) = (request.id.clone().unwrap(), request.name.clone());
        self.released.lock().unwrap().push(request);
        LockReleaseReply { id, csp: "csp-1".to_owned(), name, position: 2, released: true }.encode()
    }

    fn renewals(&self) -> usize {
        self.acquired.lock().unwrap().iter().filter(|request| request.token == Some(TOKEN)).count()
    }
}

impl Scene {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Command::new(nats_server().unwrap_or_else(|| "nats-server".into()))
            .args(["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = None;
        until("nats-server listens", || {
            url = url_in(folder.path());
            url.is_some()
        });
        let url = url.unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let group = Arc::new(Group::default());
        runtime.block_on(serve(url.clone(), Arc::clone(&group)));
        Self { server, url, folder, group, _runtime: runtime }
    }

    fn lock_run(&self, options: &[&str], command: &[&str]) -> Command {
        let mut run = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        run.current_dir(self.folder.path()).args(["lock", "run", "--nats", &self.url, "nightly"]);
        run.args(options).arg("--").args(command).stdin(Stdio::null());
        run
    }

    fn released_tokens(&self) -> Vec<u64> {
        self.group.released.lock().unwrap().iter().map(|request| request.token).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn url_in(folder: &Path) -> Option<String> {
    let file = std::fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .find(|entry| entry.path().extension().is_some_and(|extension| extension == "ports"))?;
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

async fn serve(url: String, group: Arc<Group>) {
    let bus = Bus::connect(&NatsConfig { url, ..NatsConfig::default() }, "group").await.unwrap();
    let client = bus.client().clone();
    let mut requests = client.subscribe(subject::lock("demo", "*")).await.unwrap();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            tokio::time::sleep(Duration::from_millis(group.queue_ms.swap(0, Ordering::Relaxed))).await;
            let is_release = request.subject.as_str() == subject::lock("demo", "release");
            let answer = if is_release { group.release(&request.payload) } else { group.acquire(&request.payload) };
            client.publish(request.reply.unwrap(), answer.into()).await.unwrap();
        }
    });
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_command_knows_its_lock_and_its_exit_code_is_ours() {
    let scene = Scene::start();
    let script = "echo $HOLDFAST_LOCK_NAME:$HOLDFAST_LOCK_TOKEN; exit 7";
    let output = scene.lock_run(&["--holder", "till 3"], &["sh", "-c", script]).output().unwrap();
    assert_eq!(said(&output), (Some(7), format!("nightly:{TOKEN}"), String::new()));
    let acquired = scene.group.acquired.lock().unwrap().clone();
    assert_eq!((acquired.len(), acquired[0].holder.as_deref(), acquired[0].wait), (1, Some("till 3"), true));
    assert_eq!(scene.released_tokens(), [TOKEN]);
    let output = scene.lock_run(&[], &["sh", "-c", "kill -KILL $$"]).output().unwrap();
    assert_eq!(said(&output).0, Some(137), "as a shell says it");
}

#[test]
fn a_lock_that_was_waited_for_is_renewed_before_the_command_runs() {
    let scene = Scene::start();
    scene.group.queue_ms.store(500, Ordering::Relaxed);
    let output = scene.lock_run(&["--lease", "1000"], &["true"]).output().unwrap();
    assert!(output.status.success());
    let tokens: Vec<_> = scene.group.acquired.lock().unwrap().iter().map(|request| request.token).collect();
    assert_eq!(tokens, [None, Some(TOKEN)], "nobody knows since when it was held");
}

#[test]
fn who_is_told_to_end_tells_the_command_and_gives_the_lock_back() {
    let scene = Scene::start();
    let script = "trap 'exit 3' TERM; touch started; while :; do sleep 0.05; done";
    let mut run = scene.lock_run(&[], &["sh", "-c", script]).spawn().unwrap();
    until("the command runs", || scene.folder.path().join("started").exists());
    kill(Pid::from_raw(i32::try_from(run.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(3));
    assert_eq!(scene.released_tokens(), [TOKEN]);
}

#[test]
fn it_is_renewed_for_as_long_as_the_command_runs() {
    let scene = Scene::start();
    let mut run = scene.lock_run(&["--lease", "1000"], &["sh", "-c", "until [ -e enough ]; do sleep 0.05; done"]);
    let mut run = run.spawn().unwrap();
    until("renewals for longer than the lease", || scene.group.renewals() >= 5);
    assert!(run.try_wait().unwrap().is_none() && scene.released_tokens().is_empty());
    std::fs::write(scene.folder.path().join("enough"), "").unwrap();
    assert!(run.wait().unwrap().success());
    assert_eq!(scene.released_tokens(), [TOKEN]);
}

#[test]
fn a_command_whose_lock_is_lost_is_ended() {
    let scene = Scene::start();
    scene.group.loses.store(true, Ordering::Relaxed);
    let script = "trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done";
    let output = scene.lock_run(&["--lease", "1000"], &["sh", "-c", script]).output().unwrap();
    let (code, _, sentence) = said(&output);
    assert_eq!(code, Some(1));
    assert!(sentence.starts_with("holdfast: lock nightly was lost while the command ran"), "{sentence}");
    let pid: i32 = std::fs::read_to_string(scene.folder.path().join("pid")).unwrap().trim().parse().unwrap();
    until("the command has ended", || !runs(pid));
}

/// Starts one process that detaches itself and one that does not want to end, and writes both their ids.
const FAMILY: &str = "setsid sh -c 'echo $$ > far.pid; sleep 600; :' & \
    sh -c 'trap \"\" TERM; echo $$ > near.pid; while :; do sleep 0.05; done' & \
    until [ -s far.pid ] && [ -s near.pid ]; do sleep 0.02; done; touch started;";

impl Scene {
    fn family(&self) -> [i32; 2] {
        ["far.pid", "near.pid"].map(|file| {
            let pid = std::fs::read_to_string(self.folder.path().join(file)).unwrap();
            pid.trim().parse().unwrap()
        })
    }
}

#[test]
fn what_the_command_left_behind_is_ended_before_the_lock_is_given_back() {
    let scene = Scene::start();
    let output = scene.lock_run(&["--lease", "1000"], &["sh", "-c", &format!("{FAMILY} exit 7")]).output().unwrap();
    assert_eq!(said(&output).0, Some(7), "{output:?}");
    assert_eq!(scene.family().map(runs), [false; 2]);
    assert_eq!(scene.released_tokens(), [TOKEN]);
}

#[test]
fn what_the_command_started_is_ended_with_it_when_the_lock_is_lost() {
    let scene = Scene::start();
    let mut run = scene.lock_run(&["--lease", "1000"], &["sh", "-c", &format!("{FAMILY} wait")]).spawn().unwrap();
    until("the command runs", || scene.folder.path().join("started").exists());
    scene.group.loses.store(true, Ordering::Relaxed);
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert_eq!(scene.family().map(runs), [false; 2]);
}

/// Nobody can give the lock back then, and it is free when its lease is over; by then nothing goes on without it.
#[test]
fn what_the_command_started_is_ended_when_lock_run_is_killed() {
    let scene = Scene::start();
    let mut run = scene.lock_run(&["--lease", "1000"], &["sh", "-c", &format!("{FAMILY} wait")]).spawn().unwrap();
    until("the command runs", || scene.folder.path().join("started").exists());
    run.kill().unwrap();
    run.wait().unwrap();
    until("nothing is left", || scene.family().map(runs) == [false; 2]);
}

#[test]
fn a_group_that_does_not_answer_costs_the_command_its_lock() {
    let scene = Scene::start();
    let mut run = scene.lock_run(&["--lease", "1000"], &["sleep", "600"]);
    let run = run.stderr(Stdio::piped()).spawn().unwrap();
    until("the command runs", || scene.group.renewals() >= 1);
    let mut scene = scene;
    scene.server.kill().unwrap();
    let (code, _, sentence) = said(&run.wait_with_output().unwrap());
    assert_eq!(code, Some(1), "{sentence}");
    assert!(sentence.contains("could not be renewed in time"), "{sentence}");
}

#[test]
fn without_the_lock_nothing_is_run() {
    let scene = Scene::start();
    scene.group.is_held.store(true, Ordering::Relaxed);
    for options in [["--no-wait", "--lease=1000"], ["--deadline=100", "--lease=1000"]] {
        let output = scene.lock_run(&options, &["touch", "ran"]).output().unwrap();
        let (code, _, sentence) = said(&output);
        assert_eq!(code, Some(4), "{sentence}");
        assert!(sentence.contains("lock_held") && sentence.contains("holdfast lock list"), "{sentence}");
    }
    assert!(!scene.folder.path().join("ran").exists() && scene.released_tokens().is_empty());
}

/// A release of unknown outcome says so with its id, so it can be sent again under it.
#[test]
fn a_release_bears_the_id_that_it_is_given() {
    let scene = Scene::start();
    let release = ["lock", "release", "--nats", &scene.url, "--id", "again", "nightly", "41"];
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast")).args(release).output().unwrap();
    assert_eq!(said(&output).0, Some(0), "{output:?}");
    let released = scene.group.released.lock().unwrap();
    assert_eq!((released[0].id.as_deref(), released[0].token), (Some("again"), TOKEN));
}
