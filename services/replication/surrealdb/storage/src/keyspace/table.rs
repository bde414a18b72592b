//! Holds `KEYSPACE.md` against SurrealDB's own list of its keys, and against what is certified.

use std::collections::BTreeMap;

use surrealdb_datastore::key::schema::KEYSPACE_MAP;

use super::is_observable;

const TABLE: &str = include_str!("../../../KEYSPACE.md");
/// Levels of the keyspace, the deepest first. Each begins with the one behind it.
const LEVELS: [&str; 6] = ["/*{ns}*{db}*{tb}+{ix}", "/*{ns}*{db}*{tb}", "/*{ns}*{db}", "/*{ns}", "/", ""];

/// What is between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every key of the table, with its level in front, and whether its plain reads are said to be certified.
fn told() -> BTreeMap<String, bool> {
    let mut keys = BTreeMap::new();
    let mut level = "";
    for line in TABLE.lines() {
        if line.starts_with("## ") {
            level = quoted(line).next().unwrap_or_default();
        } else if line.starts_with("| `") {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            let certified = match columns[4] {
                "yes" => true,
                "no" => false,
                other => panic!("{other:?} in {line}"),
            };
            for key in quoted(columns[1]) {
                assert!(keys.insert(format!("{level}{key}"), certified).is_none(), "{level}{key} is told twice");
            }
        }
    }
    keys
}

/// Every kind of key in SurrealDB's list: the level, and what follows up to the first field, or up to the tag behind a name.
fn listed() -> Vec<String> {
    let keys = KEYSPACE_MAP.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (route, _, arrow) = (words.next()?, words.next()?, words.next()?);
        let value = words.next()?;
        (arrow == "->" && !matches!(value, "(range)" | "(subtree)")).then_some(route)
    });
    let mut kinds: Vec<String> = keys.map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn kind(route: &str) -> String {
    let level =
        LEVELS.iter().find(|level| route.starts_with(**level) && route != **level).expect("all begin with \"\"");
    let tail = &route[level.len()..];
    let end = match tail.find('{') {
        // A name, and then the tag that says what is kept under it.
        Some(name) if tail[name..].find('!').is_some() => {
            let tag = name + tail[name..].find('!').unwrap_or_default();
            tail[tag..].find('{').map_or(tail.len(), |field| tag + field)
        }
        Some(field) => field,
        None => tail.len(),
    };
    format!("{level}{}", &tail[..end])
}

/// A key of this kind, as bytes.
fn example(kind: &str) -> Vec<u8> {
    let spelled = kind.replace("{ns}", "\0\0\0\x01").replace("{db}", "\0\0\0\x02").replace("{tb}", "person\0");
    let spelled = spelled.replace("{ix}", "\0\0\0\x07").replace("{nd}", "0123456789abcdef");
    let spelled = spelled.replace("{ac}", "name\0").replace("{sq}", "name\0");
    assert!(!spelled.contains('{'), "{kind} has a field without an example");
    [spelled.as_bytes(), b"rest\0"].concat()
}

#[test]
fn tells_of_every_key_of_surrealdb_and_of_no_other() {
    let told: Vec<String> = told().into_keys().collect();
    let listed = listed();
    assert!(listed.len() > 100, "the list could not be read: {listed:?}");
    let missing: Vec<_> = listed.iter().filter(|kind| !told.contains(kind)).collect();
    let gone: Vec<_> = told.iter().filter(|kind| !listed.contains(kind)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in KEYSPACE.md: {missing:?}; only there: {gone:?}");
}

#[test]
fn says_what_is_certified() {
    for (kind, certified) in told() {
        assert_eq!(is_observable(&example(&kind)), certified, "{kind}");
    }
}
