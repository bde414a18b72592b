//! Options of `holdfast group`.

use clap::Args;

use super::{
    BusAddress,
    up::{Isolation, Replication, Storage},
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
