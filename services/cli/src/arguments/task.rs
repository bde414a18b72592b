//! Options of `holdfast primary` and `holdfast task`.

use clap::Args;

use super::{Target, milliseconds::milliseconds};

/// Options of `holdfast primary move`.
#[derive(Debug, Args)]
pub struct MoveOptions {
    #[command(flatten)]
    pub target: Target,

    /// The copy that is to become primary [default: the best of those that are available]
    #[arg(value_name = "CSP")]
    pub csp: Option<String>,

    /// How long to wait until the new primary is known to act
    #[arg(long, default_value_t = 10_000, value_name = "MS", value_parser = milliseconds)]
    pub timeout_ms: u64,
}

/// Options of `holdfast task move`.
#[derive(Debug, Args)]
pub struct TaskMoveOptions {
    #[command(flatten)]
    pub target: Target,

    /// The task, as `holdfast task list` shows it; `replication` is that of being primary
    #[arg(value_name = "TASK")]
    pub task: String,

    /// The copy that is to hold it [default: the best of those that are available]
    #[arg(value_name = "CSP")]
    pub csp: Option<String>,

    /// How long to wait until it is done
    #[arg(long, default_value_t = 10_000, value_name = "MS", value_parser = milliseconds)]
    pub timeout_ms: u64,
}

/// Options of `holdfast task list`.
#[derive(Debug, Args)]
pub struct TaskListOptions {
    #[command(flatten)]
    pub target: Target,
}
