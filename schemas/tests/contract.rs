//! The contract's files agree with the code: schemas are current, and payloads of every released version still decode.
//!
//! A fixture is never changed once it is released. If this test fails, the change breaks those who wrote such payloads:
//! make a new version of the message instead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use holdfast_schemas::contract;
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found)
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn committed_schemas_are_those_of_the_code() {
    let mut there = BTreeSet::new();
    files(&folder("json"), &mut there);
    for contract in contract::all() {
        let path = folder("json").join(contract.schema_path());
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, contract::schema_text(&contract), "run holdfast-schemas-generate: {}", path.display());
        there.remove(&path);
    }
    assert_eq!(there, BTreeSet::new(), "schemas of messages that do not exist");
}

#[test]
fn a_schema_says_its_type_in_title_path_and_member() {
    for contract in contract::all() {
        let schema: Value = (contract.schema)();
        assert_eq!(schema["title"], contract.type_name);
        let objects = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        for object in objects {
            assert_eq!(object["properties"]["type"]["const"], contract.type_name);
        }
        assert_eq!(
            contract.schema_path().replace('/', "."),
            format!("{}.json", &contract.type_name["io.holdfast.".len()..])
        );
    }
}

#[test]
fn every_fixture_decodes_for_ever_and_means_the_same() {
    let mut there = BTreeSet::new();
    files(&folder("fixtures"), &mut there);
    for contract in contract::all() {
        let path = folder("fixtures/v1").join(format!("{}.json", contract.short_name()));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let again = (contract.reencode)(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (before, after): (Value, Value) =
            (serde_json::from_slice(&bytes).unwrap(), serde_json::from_slice(&again).unwrap());
        assert_eq!(after["type"], contract.type_name);
        for (key, value) in before.as_object().unwrap() {
            assert_eq!(&after[key], value, "{key} of {}", path.display());
        }
        there.remove(&path);
    }
    assert_eq!(there, BTreeSet::new(), "fixtures of messages that do not exist");
}
