//! Options of `holdfast up`, and of the verbs that steer a system that runs under it.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, ValueEnum};
use holdfast_schemas::{
    limits::COPY_MEMORY_MIN_MB,
    message as wire,
    name::{self, NameKind},
};

use super::{Target, milliseconds::milliseconds};

/// Options of `holdfast up`.
#[derive(Debug, Clone, Args)]
pub struct UpOptions {
    /// How many copies
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32), value_name = "N")]
    pub csps: u16,

    /// Where everything is kept: log, copies, process ids, logs
    #[arg(long, env = "HOLDFAST_DATA", default_value = "data", value_name = "DIR")]
    pub data: PathBuf,

    /// Name of the group
    #[arg(long, env = "HOLDFAST_GROUP", default_value = "demo", value_name = "NAME")]
    pub group: String,

    /// What the names of the copies begin with: PREFIX-1, PREFIX-2, ... Two groups on one NATS need two
    #[arg(long, default_value = "csp", value_parser = csp_prefix, value_name = "PREFIX")]
    pub csp_prefix: String,

    /// Run the group from here although it belongs to another data folder, which must not be running
    #[arg(long)]
    pub take_over: bool,

    /// Who takes updates: one primary, or every copy
    #[arg(long, value_enum, default_value_t = Replication::Primary)]
    pub replication: Replication,

    /// What transactions are kept from seeing of each other
    #[arg(long, value_enum, default_value_t = Isolation::Serializable)]
    pub isolation: Isolation,

    /// What a copy keeps its data in
    #[arg(long, value_enum, default_value_t = Storage::Surrealkv)]
    pub storage: Storage,

    /// How many supervisors; with three, one of them can be wrong or gone
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=9), value_name = "N")]
    pub supervisors: u16,

    /// How many instances of execution take requests; with two, one of them can be gone
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=9), value_name = "N")]
    pub executions: u16,

    /// Memory for each copy, in MiB [default: a quarter of this machine's, shared by the copies]
    #[arg(long, value_parser = clap::value_parser!(u64).range(COPY_MEMORY_MIN_MB..=1 << 20), value_name = "MIB")]
    pub memory_mb: Option<u64>,

    /// Use NATS that already runs (2.14 or newer, with JetStream) and start no server
    #[arg(long, value_name = "URL", conflicts_with_all = ["nats_port", "nats_servers", "sync"])]
    pub nats: Option<String>,

    /// Port of the first NATS server on 127.0.0.1, the others follow; 0 takes free ones
    #[arg(long, default_value_t = 4222, value_name = "PORT")]
    pub nats_port: u16,

    /// How many NATS servers; with 3 the log has three replicas
    #[arg(long, default_value = "1", value_parser = ["1", "3"], value_name = "N")]
    pub nats_servers: String,

    /// How many servers keep the log [default: 3 with --nats-servers 3, else 1]
    #[arg(long, value_parser = ["1", "3", "5"], value_name = "N")]
    pub log_replicas: Option<String>,

    /// The nats-server program [default: from PATH, else ./.tools/bin, where `make tools` puts it]
    #[arg(long, env = "HOLDFAST_NATS_SERVER", value_name = "PATH")]
    pub nats_server: Option<PathBuf>,

    /// When NATS writes the log through to the disk
    #[arg(long, value_enum, default_value_t = Sync::Always)]
    pub sync: Sync,
}

/// Every name that is made of it must be one.
fn csp_prefix(text: &str) -> Result<String, String> {
    let longest = format!("{text}-{}", u16::MAX);
    name::validate(NameKind::Csp, &longest).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

impl UpOptions {
    /// How many NATS servers, as a number: the parser has let only these two through.
    #[must_use]
    pub fn nats_server_count(&self) -> u16 {
        if self.nats_servers == "3" { 3 } else { 1 }
    }

    /// How many servers keep the log, as a number.
    #[must_use]
    pub fn log_replicas(&self) -> u8 {
        match self.log_replicas.as_deref().unwrap_or(&self.nats_servers) {
            "5" => 5,
            "3" => 3,
            _ => 1,
        }
    }
}

/// Options of `holdfast csp stop` and `holdfast csp start`.
#[derive(Debug, Args)]
pub struct CspOptions {
    /// Name of the copy: csp-1, csp-2, ...
    pub name: String,

    /// The data folder that `holdfast up` was given
    #[arg(long, env = "HOLDFAST_DATA", default_value = "data", value_name = "DIR")]
    pub data: PathBuf,

    /// How long to wait until it has stopped or serves again
    #[arg(long, default_value_t = 60_000, value_name = "MS", value_parser = milliseconds)]
    pub timeout_ms: u64,
}

/// Options of `holdfast csp drain` and `holdfast csp resume`.
#[derive(Debug, Args)]
pub struct MaintenanceOptions {
    #[command(flatten)]
    pub target: Target,

    /// Name of the copy: csp-1, csp-2, ...
    pub name: String,

    /// How long to wait until it is in maintenance or serves again
    #[arg(long, default_value_t = 60_000, value_name = "MS", value_parser = milliseconds)]
    pub timeout_ms: u64,
}

/// Options of the hidden `holdfast guard`.
#[derive(Debug, Args)]
pub struct GuardOptions {
    /// Process id of the parent: if it is gone already, the program is not started
    #[arg(long)]
    pub parent: u32,

    /// End with the program all that it has started, and kill what has not ended after so long
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub end_all_ms: Option<u64>,

    /// The program and its arguments
    #[arg(required = true, last = true)]
    pub command: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Replication {
    /// One copy takes the updates, the others follow it (the service finds it, clients need not know)
    Primary,
    /// Every copy takes updates; transactions that touched the same data in different copies: the later one is refused
    Peer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// As if transactions ran one after another: what a transaction read must not have changed before it commits
    Serializable,
    /// Snapshot isolation, as SurrealDB itself offers: only what a transaction wrote must not have changed
    Snapshot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    /// On disk: a restarted copy continues where it was
    Surrealkv,
    /// In memory: a restarted copy reads the whole log again
    Mem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sync {
    /// Before each acknowledgement: a power cut loses nothing that was acknowledged
    Always,
    /// Every two minutes, NATS' own default: faster; a power cut can lose the last two minutes, a killed process nothing
    Interval,
}

impl From<Replication> for wire::Replication {
    fn from(value: Replication) -> Self {
        match value {
            Replication::Primary => Self::Primary,
            Replication::Peer => Self::Peer,
        }
    }
}

impl From<Isolation> for wire::Isolation {
    fn from(value: Isolation) -> Self {
        match value {
            Isolation::Serializable => Self::Serializable,
            Isolation::Snapshot => Self::Snapshot,
        }
    }
}

impl From<Storage> for wire::Storage {
    fn from(value: Storage) -> Self {
        match value {
            Storage::Surrealkv => Self::Surrealkv,
            Storage::Mem => Self::Mem,
        }
    }
}
