//! The table of permissions in `deploy/nats` names every subject that Holdfast publishes or subscribes to, so that none is left
//! without a decision who may use it. `deploy/nats/check-permissions` proves what the table says.

use std::collections::BTreeSet;
use std::path::Path;

use holdfast_schemas::subject;

/// Functions of [`subject`] that make no subject of their own, or patterns over those of others.
const NO_SUBJECTS: [&str; 20] = [
    "may_be_answered",
    "may_be_inbox_prefix",
    "csp_all",
    "heartbeats",
    "all_heartbeats",
    "events",
    "all_events",
    "events_stream",
    "presences",
    "opinions",
    "nodes_alive",
    "assignments_bucket",
    "assignment_key",
    "owners_bucket",
    "queue",
    "log_stream",
    "definitions_bucket",
    "states_bucket",
    "state_key",
    "discovery",
];

fn subjects() -> Vec<(&'static str, String)> {
    vec![
        ("update", subject::update("demo")),
        ("query", subject::query("demo")),
        ("transaction", subject::transaction("demo", "begin")),
        ("csp_transaction", subject::csp_transaction("demo", "csp-1", "begin")),
        ("lock", subject::lock("demo", "acquire")),
        ("csp_lock", subject::csp_lock("demo", "csp-1", "acquire")),
        ("csp_update", subject::csp_update("demo", "csp-1")),
        ("csp_query", subject::csp_query("demo", "csp-1")),
        ("csp_status", subject::csp_status("demo", "csp-1")),
        ("csp_control", subject::csp_control("demo", "csp-1")),
        ("csp_commit", subject::csp_commit("demo", "csp-1")),
        ("csp_digest", subject::csp_digest("demo", "csp-1")),
        ("live", subject::live("demo", "csp-1")),
        ("log", subject::log("demo")),
        ("heartbeat", subject::heartbeat("demo", "csp-1")),
        ("event", subject::event("demo", subject::EVENT_CSP_STATE)),
        ("event", subject::event("demo", subject::EVENT_NODE_STATE)),
        ("event", subject::event("demo", subject::EVENT_ASSIGNMENT)),
        ("event", subject::event("demo", subject::EVENT_LOG)),
        ("completions", subject::completions("x")),
        ("presence", subject::presence("x")),
        ("opinion", subject::opinion("x")),
        ("hint", subject::hint()),
        ("node_alive", subject::node_alive("n1")),
        ("assignment_move", subject::assignment_move("demo")),
        ("owner", subject::owner("demo", "x")),
        ("admin", subject::admin("group", "define")),
    ]
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn every_subject_stands_in_the_table() {
    let table = read("../deploy/nats/README.md");
    let missing: Vec<_> =
        subjects().into_iter().filter(|(_, subject)| !table.contains(&format!("\n| `{subject}` |"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_subject_is_forgotten_here() {
    let source = read("src/subject.rs");
    let named: BTreeSet<&str> = subjects().iter().map(|(name, _)| *name).chain(NO_SUBJECTS).collect();
    let functions = source.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split('(').next());
    let forgotten: Vec<_> = functions.filter(|name| !named.contains(name)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}
