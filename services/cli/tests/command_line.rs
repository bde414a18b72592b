//! The command as people and scripts meet it: its manual, its errors, its exit codes. No system runs here.

use std::process::{Command, Output};

fn holdfast(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("HOLDFAST_NATS__URL")
        .env("HOLDFAST_CLI__CONNECT_TIMEOUT_MS", "200")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An address at which nothing listens.
fn nowhere() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("nats://127.0.0.1:{port}")
}

#[test]
fn the_manual_names_every_verb_and_every_exit_code() {
    let text = String::from_utf8(holdfast(&["--help"]).stdout).unwrap();
    for word in [
        "up",
        "csp",
        "primary",
        "task",
        "lock",
        "update",
        "query",
        "import",
        "export",
        "status",
        "verify",
        "config",
        "EXIT CODES",
        "130",
    ] {
        assert!(text.contains(word), "{word} is missing");
    }
    let text = String::from_utf8(holdfast(&["up", "--help"]).stdout).unwrap();
    assert!(text.contains("DIR/run/NAME.pid") && text.contains("power cut"), "{text}");
    let text = String::from_utf8(holdfast(&["lock", "run", "--help"]).stdout).unwrap();
    assert!(text.contains("HOLDFAST_LOCK_TOKEN") && text.contains("SIGKILL"), "{text}");
}

#[test]
fn no_nats_is_one_sentence_with_a_way_out() {
    let output = holdfast(&["query", "--nats", &nowhere(), "SELECT 1"]);
    assert_eq!(output.status.code(), Some(4));
    let sentence = said(&output);
    assert!(sentence.starts_with("holdfast: ") && sentence.trim_end().lines().count() == 1, "{sentence}");
    assert!(sentence.contains("holdfast up") && sentence.contains("--nats"), "{sentence}");
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    let output = holdfast(&["status", "--json", "--nats", &nowhere()]);
    let error: serde_json::Value = serde_json::from_str(&said(&output)).unwrap();
    assert_eq!(error["error"]["code"], "unavailable");
}

#[test]
fn what_was_mistyped_is_exit_code_two() {
    for wrong in [
        vec!["frobnicate"],
        vec!["query", "--consistency", "session", "SELECT 1"],
        vec!["up", "--csps", "0"],
        vec!["up", "--nats-servers", "2"],
        vec!["update", "--var", "x", "SELECT 1"],
        vec!["update", "--lock", "name", "SELECT 1"],
        vec!["lock", "acquire"],
        vec!["lock", "release", "name", "token"],
        vec!["lock", "run", "name"],
        vec!["lock", "run", "name", "true"],
        vec!["group", "define", "g", "--csps", "a,b", "--pool", "reports"],
        vec!["group", "define", "g", "--csps", "a,b", "--pool", "reports=c"],
        vec!["group", "define", "g", "--csps", "a,b", "--update-window", "mon-fri 22:00"],
        vec!["group", "define", "g", "--csps", "a,b", "--outside-window", "queue"],
    ] {
        assert_eq!(holdfast(&wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_group_that_cannot_be_is_refused_before_anything_is_asked() {
    for (option, value, named) in [
        ("--policy", "patience=1", "heartbeat_interval_ms"),
        ("--policy", "heartbeats_missed", "FIELD=VALUE"),
        ("--policy", "heartbeats_missed=3", "at least 400 ms"),
        ("--task", "report,near=a", "prefer="),
        ("--task", "report,apart=billing", "billing"),
    ] {
        let output = holdfast(&["group", "define", "demo", "--nats", &nowhere(), "--csps", "a", option, value]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}");
        assert!(said(&output).contains(named), "{}", said(&output));
    }
}

#[test]
fn without_a_system_a_copy_cannot_be_stopped() {
    let output = holdfast(&["csp", "stop", "csp-1"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(said(&output).contains("start one with `holdfast up --data"), "{}", said(&output));
}

#[test]
fn a_file_that_cannot_be_cut_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.surql");
    std::fs::write(&path, "CREATE a;\nCREATE b SET c = 'open").unwrap();
    let output = holdfast(&["import", "--nats", &nowhere(), path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("a string that begins in line 2 does not end"), "{}", said(&output));
}

#[test]
fn secrets_are_not_printed() {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["config", "print"])
        .env("HOLDFAST_NATS__PASSWORD", "hunter2")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("***") && !text.contains("hunter2"), "{text}");
}
