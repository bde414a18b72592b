//! The keeper with real children: shells that behave well or badly.

use std::{ffi::OsString, path::Path, sync::Arc, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{sleep, timeout};

use super::{Condition, Keeper, Wish};
use crate::up::{
    directory::{DataDirectory, Ownership},
    plan::{ChildPlan, Readiness, Stage},
    terminal::Terminal,
};

const PATIENCE: Duration = Duration::from_secs(20);

struct Place {
    directory: Arc<DataDirectory>,
    _ownership: Ownership,
    _folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let directory = Arc::new(DataDirectory::new(folder.path()).unwrap());
    let ownership = directory.take().unwrap();
    Place { directory, _ownership: ownership, _folder: folder }
}

/// A child that runs this shell script; `$READY` is the file that says that it is ready.
fn keep(place: &Place, script: &str) -> Keeper {
    let ready = place.directory.ready("child");
    let plan = ChildPlan {
        name: "child".into(),
        stage: Stage::Csps,
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("READY".into(), OsString::from(&ready))],
        readiness: Readiness::File(ready),
    };
    Keeper::start(plan, place.directory.clone(), Terminal::new(true))
}

fn pid(path: &Path) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came true: {what}");
}

const GOOD: &str = "touch \"$READY\"; exec sleep 600";

#[tokio::test]
async fn a_child_is_started_stopped_and_started_again() {
    let place = place();
    let pid_file = place.directory.pid("child");
    let mut keeper = keep(&place, GOOD);
    keeper.ready().await.unwrap();
    let first = pid(&pid_file).unwrap();

    keeper.want(Wish::Stop);
    eventually("stopped", || keeper.condition() == Condition::Stopped && !pid_file.exists()).await;
    assert!(kill(Pid::from_raw(first), None).is_err(), "the process is still there");

    keeper.want(Wish::Run);
    eventually("ready", || keeper.condition() == Condition::Ready).await;
    assert_ne!(pid(&pid_file), Some(first));

    keeper.want(Wish::End);
    timeout(PATIENCE, keeper.gone()).await.unwrap();
    keeper.gone().await;
    assert!(!pid_file.exists());
}

#[tokio::test]
async fn a_child_that_is_killed_comes_back() {
    let place = place();
    let pid_file = place.directory.pid("child");
    let mut keeper = keep(&place, GOOD);
    keeper.ready().await.unwrap();
    let first = pid(&pid_file).unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    eventually("another process", || pid(&pid_file).is_some_and(|now| now != first)).await;
    eventually("ready", || keeper.condition() == Condition::Ready).await;
    keeper.want(Wish::End);
    timeout(PATIENCE, keeper.gone()).await.unwrap();
}

#[tokio::test]
async fn a_child_that_never_gets_ready_is_given_up_with_its_last_word() {
    let place = place();
    let mut keeper = keep(&place, "echo the disk is full; exit 3");
    let sentence = timeout(PATIENCE, keeper.ready()).await.unwrap().unwrap_err().to_string();
    assert!(sentence.contains("child does not start: the disk is full; read "), "{sentence}");
    keeper.want(Wish::End);
    timeout(PATIENCE, keeper.gone()).await.unwrap();
}

#[tokio::test]
async fn a_child_that_does_not_listen_is_killed_on_the_second_wish() {
    let place = place();
    let mut keeper = keep(&place, "trap '' TERM; touch \"$READY\"; while :; do sleep 0.1; done");
    keeper.ready().await.unwrap();
    keeper.want(Wish::End);
    assert!(timeout(Duration::from_millis(300), keeper.gone()).await.is_err(), "it listened");
    keeper.want(Wish::Kill);
    timeout(PATIENCE, keeper.gone()).await.unwrap();
}

#[tokio::test]
async fn the_childs_input_is_open_while_we_live_and_its_output_is_kept() {
    let place = place();
    let mut keeper = keep(&place, "echo hello; touch \"$READY\"; read -r line; echo closed");
    keeper.ready().await.unwrap();
    assert_eq!(keeper.condition(), Condition::Ready);
    let log = std::fs::read_to_string(place.directory.log("child")).unwrap();
    assert!(log.contains("hello") && !log.contains("closed"), "{log}");
    keeper.want(Wish::End);
    timeout(PATIENCE, keeper.gone()).await.unwrap();
}
