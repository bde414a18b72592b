//! Runs the replication service's own bench, and takes over its rows.

use anyhow::Context;

use super::Row;
use crate::system::{nats_server_binary, service_binary};

/// Plain embedded SurrealDB and three copies at engine level.
pub fn engine_rows(seconds: u64) -> anyhow::Result<Vec<Row>> {
    let output = std::process::Command::new(service_binary("holdfast-replication-bench")?)
        .args(["--json", "--seconds", &seconds.to_string()])
        .env("HOLDFAST_NATS_SERVER", nats_server_binary()?)
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("the engine's bench does not start")?;
    anyhow::ensure!(output.status.success(), "the engine's bench ended with {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("odd line of the engine's bench: {line}")))
        .collect()
}
