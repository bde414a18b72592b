//! Options of `holdfast group`.

use clap::Args;
use holdfast_schemas::message::{PoolDefinition, UpdateWindow};

use super::{
    BusAddress, pool,
    up::{Isolation, Replication, Storage},
    update_window::{self, Outside},
};

/// Options of `holdfast group define`.
#[derive(Debug, Args)]
pub struct DefineOptions {
    #[command(flatten)]
    pub bus: BusAddress,

    /// Name of the group
    pub name: String,

    /// The copies, by the names under which their processes run; the first one begins as primary
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME,NAME,...")]
    pub csps: Vec<String>,

    /// Who takes updates: one primary, or every copy
    #[arg(long, value_enum, default_value_t = Replication::Primary)]
    pub replication: Replication,

    /// What transactions are kept from seeing of each other
    #[arg(long, value_enum, default_value_t = Isolation::Serializable)]
    pub isolation: Isolation,

    /// What a copy keeps its data in
    #[arg(long, value_enum, default_value_t = Storage::Surrealkv)]
    pub storage: Storage,

    /// How many NATS servers keep the log; 3 survive the loss of any one
    #[arg(long, default_value_t = 1, value_name = "1|3|5")]
    pub log_replicas: u8,

    /// A pool: copies that queries with `--pool NAME` are bound to. With `:overflow` any other copy answers while none of
    /// these is available. Can be repeated
    #[arg(long = "pool", value_name = "NAME=CSP,CSP[:overflow]", value_parser = pool::parse)]
    pub pools: Vec<PoolDefinition>,

    /// When updates are taken, in UTC, as in "mon-fri 22:00-06:00", "sat,sun 00:00-24:00", "03:00-04:00" [default: always].
    /// One that ends no later than it begins ends on the next day. Can be repeated
    #[arg(long = "update-window", value_name = "[DAYS] HH:MM-HH:MM", value_parser = update_window::parse)]
    pub update_windows: Vec<UpdateWindow>,

    /// What becomes of updates outside of all windows
    #[arg(long, value_enum, default_value_t = Outside::Refuse, requires = "update_windows")]
    pub outside_window: Outside,
    /// A task that one copy holds at a time, with the nodes that it should be on and the tasks that it should be apart from
    #[arg(long = "task", value_name = "NAME[,prefer=NODE+NODE][,apart=TASK+TASK]")]
    pub tasks: Vec<String>,

    /// How patient supervision is with the copies, one field each, as heartbeat_interval_ms=200; a wrong name lists all
    ///
    /// The same command with other fields changes the policy while the group is at work; without any, the defaults hold again.
    #[arg(long, value_delimiter = ',', value_name = "FIELD=VALUE")]
    pub policy: Vec<String>,
}

/// Options of `holdfast group list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    #[command(flatten)]
    pub bus: BusAddress,
}
