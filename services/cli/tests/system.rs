//! The command with a whole system under it: refusals, a copy stopped and started, import and export, the death of `up`
//! itself, and a clean end. Needs all programs of the workspace beside `holdfast` (`cargo build --release --workspace`),
//! or their folder in HOLDFAST_BIN_DIR, and nats-server (`make tools`).

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{Up, until};

/// A file whose export must be what it was exported from: edges, ids of all kinds, exact numbers, computed fields, events.
const DATABASE: &str = "
OPTION IMPORT;
DEFINE FUNCTION fn::greet($name: string) { RETURN 'hi; ' + $name; };
DEFINE TABLE item SCHEMAFULL;
DEFINE FIELD name ON item TYPE string ASSERT $value = /[a-z;]+/;
DEFINE FIELD made ON item TYPE datetime VALUE time::now() READONLY;
DEFINE FIELD price ON item TYPE decimal;
DEFINE INDEX name ON item FIELDS name UNIQUE;
DEFINE EVENT log ON item WHEN $event = 'CREATE' THEN { CREATE audit SET item = $after.id; };
DEFINE TABLE counts AS SELECT count() AS n FROM item GROUP ALL;
BEGIN;
CREATE item:one SET name = 'o;ne', price = 1.50dec;
CREATE item:two SET name = 'two', price = 2dec;
COMMIT;
CREATE item:⟨a:b⟩ SET name = 'odd', price = 3.3dec;
CREATE item:[1, 'x'] SET name = 'list', price = 4dec;
CREATE item:uuid() SET name = 'long', price = 4dec;
RELATE item:one->likes->item:two SET at = d'2024-01-01T00:00:00Z', for = 3d, bytes = <bytes> 'abc', place = (1.5, 2.5);
CREATE `my table` SET text = \"q'uo\\\"te\", nested = { a: [ { b: NULL } ] };
";

#[test]
fn a_system_from_its_first_start_to_its_last_stop() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut up = Up::start(&data, &[]);
    up.run(&["update", "CREATE person:ada SET born = 1815"]);

    refuses_a_second_system(&data);
    stops_and_starts_a_copy(&up);
    imports_and_exports(&up, folder.path());

    let children = up.children();
    assert_eq!(children.len(), 7, "{children:?}");
    up.kill();
    until("the children have ended with their parent", || children.iter().all(|(_, pid)| !support::runs(*pid)));

    let mut up = Up::start(&data, &[]);
    let people = up.run(&["query", "--consistency", "strong", "SELECT VALUE born FROM person:ada"]);
    assert_eq!(people["results"][0][0], 1815);
    assert_eq!(up.run(&["verify"])["equal"], true);
    up.stop();
    assert!(up.children().is_empty());

    let refusal = support::fails(&["up", "--data", data.to_str().unwrap(), "--nats-port", "0", "--csps", "2"]);
    assert!(refusal.contains("the options that it was started with"), "{refusal}");
}

fn refuses_a_second_system(data: &Path) {
    let refusal = support::fails(&["up", "--data", data.to_str().unwrap(), "--nats-port", "0"]);
    assert!(refusal.contains("runs on") && refusal.contains("--data"), "{refusal}");
}

fn stops_and_starts_a_copy(up: &Up) {
    let data = up.data().to_str().unwrap();
    support::succeeds(&["csp", "stop", "csp-2", "--data", data]);
    assert!(up.children().iter().all(|(name, _)| name != "csp-2"));
    until("csp-2 is seen to be away", || state(up, "csp-2") != "available");
    up.run(&["update", "UPDATE person:ada SET note = 'csp-2 was away'"]);
    support::succeeds(&["csp", "start", "csp-2", "--data", data]);
    until("csp-2 is seen to be back", || state(up, "csp-2") == "available");
    let verdict = up.run(&["verify"]);
    assert_eq!(verdict["copies"].as_array().map(Vec::len), Some(3), "{verdict}");
    assert_eq!(verdict["equal"], true, "{verdict}");
}

fn state(up: &Up, csp: &str) -> String {
    let status = up.run(&["status"]);
    let csps = status["csps"].as_array().cloned().unwrap_or_default();
    csps.iter().find(|one| one["csp"] == csp).and_then(|one| one["state"].as_str()).unwrap_or_default().to_owned()
}

fn imports_and_exports(up: &Up, folder: &Path) {
    let (first, second) = (folder.join("first.surql"), folder.join("second.surql"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    fs::write(&first, DATABASE).unwrap();
    let done = up.run(&["import", &path(&first), "--db", "a"]);
    assert_eq!(done["statements"], 15, "{done}");

    // The same file again, as after a lost answer: every batch is known by its id and changes nothing.
    up.run(&["import", &path(&first), "--db", "a"]);
    let counts = "SELECT VALUE n FROM counts; SELECT count() FROM audit GROUP ALL";
    assert_eq!(up.run(&["query", "--db", "a", counts])["results"].to_string(), r#"[[5],[{"count":5}]]"#);

    let exported = up.run(&["export", "--db", "a", "--page", "2", &path(&second)]);
    assert_eq!(exported["records"], 12, "{exported}");
    up.run(&["import", &path(&second), "--db", "b"]);
    assert_eq!(content(up, "a", folder), content(up, "b", folder));
    let walk = up.run(&[
        "query",
        "--db",
        "b",
        "SELECT VALUE ->likes->item FROM item:one; SELECT id FROM item WHERE name = 'two'",
    ]);
    assert_eq!(
        walk["results"],
        Value::from(vec![vec![serde_json::json!(["item:two"])], vec![serde_json::json!({"id": "item:two"})]])
    );
}

/// The export without the lines that name positions.
fn content(up: &Up, db: &str, folder: &Path) -> String {
    let path = folder.join(format!("{db}.surql"));
    up.run(&["export", "--db", db, path.to_str().unwrap()]);
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with("-- ")).collect::<Vec<_>>().join("\n")
}
