//! Settings as operators give them: text stays text, and what is shown holds no secret.

use holdfast_foundation::config::{self, Loaded, Sources};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    name: String,
    size: u64,
    share: f64,
    on: bool,
    folder: Option<std::path::PathBuf>,
}

fn load(variables: &[(&str, &str)]) -> Loaded<Own> {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    config::load("probe", &Sources { file: None, environment }).unwrap()
}

#[test]
fn text_that_looks_like_a_number_stays_text() {
    let loaded = load(&[("HOLDFAST_NATS__PASSWORD", "007"), ("HOLDFAST_PROBE__NAME", "1e3")]);
    assert_eq!(loaded.common.nats.password.as_deref(), Some("007"));
    assert_eq!(loaded.service.name, "1e3");
}

#[test]
fn numbers_and_switches_are_read_from_text() {
    let loaded = load(&[
        ("HOLDFAST_PROBE__SIZE", "9000000000"),
        ("HOLDFAST_PROBE__SHARE", "0.5"),
        ("HOLDFAST_PROBE__ON", "true"),
        ("HOLDFAST_PROBE__FOLDER", "/data"),
    ]);
    let expected = Own { size: 9_000_000_000, share: 0.5, on: true, folder: Some("/data".into()), ..Own::default() };
    assert_eq!(loaded.service, expected);
}

#[test]
fn credentials_in_the_address_are_not_shown() {
    let loaded = load(&[("HOLDFAST_NATS__URL", "nats://me:hunter2@one:4222, nats://tok3n@two:4222")]);
    assert!(!loaded.printable.contains("hunter2") && !loaded.printable.contains("tok3n"), "{}", loaded.printable);
    assert!(loaded.printable.contains("one:4222") && loaded.printable.contains("two:4222"), "{}", loaded.printable);
    let debug = format!("{loaded:?}");
    assert!(!debug.contains("hunter2") && !debug.contains("tok3n"), "{debug}");
}
