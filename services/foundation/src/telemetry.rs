//! Logs: one line per event on standard error.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Section `[telemetry]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// What is logged, such as `info` or `warn,holdfast_replication=debug`.
    pub log: String,
    /// How.
    pub format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "info".to_owned(), format: LogFormat::Text }
    }
}

/// Libraries that tell more at `info` than an operator of Holdfast wants to read.
const QUIETER: [&str; 4] = ["async_nats=warn", "surrealdb=warn", "surrealkv=warn", "surrealdb::core=warn"];

/// Starts logging. A second call in one process changes nothing.
pub fn init(config: &TelemetryConfig) {
    let mut filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    for directive in QUIETER.iter().filter(|_| !config.log.contains('=')).filter_map(|directive| directive.parse().ok())
    {
        filter = filter.add_directive(directive);
    }
    // A line that cannot be written is lost. To say so on standard error would fail in the same way, and end the task that logs.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    let _ = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
