//! Layers, refusals, and secrets that stay hidden.

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    size: u64,
    name: String,
}

impl Default for Own {
    fn default() -> Self {
        Self { size: 3, name: "a".to_owned() }
    }
}

fn sources(file: Option<&str>, variables: &[(&str, &str)]) -> (Sources, Option<PathBuf>) {
    let path = file.map(|text| {
        let path = std::env::temp_dir().join(format!("holdfast-config-{}.toml", ulid::Ulid::generate()));
        std::fs::write(&path, text).unwrap();
        path
    });
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    (Sources { file: path.clone(), environment }, path)
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let (sources, path) = sources(
        Some("[probe]\nsize = 5\nname = \"file\"\n[execution]\nanything = 1\n"),
        &[("HOLDFAST_PROBE__SIZE", "7"), ("HOLDFAST_NATS__URL", "nats://127.0.0.1:9"), ("HOLDFAST_READY_FILE", "x")],
    );
    let loaded: Loaded<Own> = load("probe", &sources).unwrap();
    assert_eq!(loaded.service, Own { size: 7, name: "file".to_owned() });
    assert_eq!(loaded.common.nats.url, "nats://127.0.0.1:9");
    assert_eq!(loaded.common.lifecycle.grace_ms, 10_000);
    std::fs::remove_file(path.unwrap()).unwrap();
}

#[test]
fn misspelt_settings_are_refused() {
    let (sources, path) = sources(Some("[probe]\nsise = 5\n"), &[]);
    let error = load::<Own>("probe", &sources).unwrap_err();
    assert!(crate::chain(&error).contains("sise"), "{}", crate::chain(&error));
    std::fs::remove_file(path.unwrap()).unwrap();
}

#[test]
fn misspelt_sections_are_refused() {
    let (in_file, path) = sources(Some("[replicaton]\nsize = 5\n"), &[]);
    let (in_environment, _) = sources(None, &[("HOLDFAST_REPLICATON__SIZE", "5")]);
    for sources in [in_file, in_environment] {
        let error = crate::chain(&load::<Own>("probe", &sources).unwrap_err());
        assert!(error.contains("[replicaton]") && error.contains("[replication]"), "{error}");
    }
    std::fs::remove_file(path.unwrap()).unwrap();
}

#[test]
fn secrets_are_not_printed() {
    let (sources, _) = sources(None, &[("HOLDFAST_NATS__PASSWORD", "hunter2")]);
    let loaded: Loaded<Own> = load("probe", &sources).unwrap();
    assert_eq!(loaded.common.nats.password.as_deref(), Some("hunter2"));
    assert!(loaded.printable.contains("password = \"***\"") && !loaded.printable.contains("hunter2"));
}
