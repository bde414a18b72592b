//! What can be typed after `holdfast`, and the manual that `--help` shows.
//!
//! Each verb's options live in a file named after its subject; the commands that carry them out are in `commands/` and
//! `up/`. Nothing here does anything: it only says what was asked.

pub mod group;
pub mod lock;
pub mod milliseconds;
pub mod pool;
pub mod request;
pub mod task;
pub mod transfer;
pub mod up;
pub mod update_window;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use group::{DefineOptions, ListOptions};
use lock::{AcquireOptions, LockListOptions, ReleaseOptions, RunOptions};
use milliseconds::milliseconds;
use request::{QueryOptions, UpdateOptions};
use task::{MoveOptions, TaskListOptions, TaskMoveOptions};
use transfer::{ExportOptions, ImportOptions};
use up::{CspOptions, GuardOptions, MaintenanceOptions, UpOptions};

const AFTER_HELP: &str = "\
FIRST STEPS
  holdfast up                     three copies of one database, here, until Ctrl-C
  holdfast update \"CREATE person:ada SET born = 1815\"
  holdfast query  \"SELECT * FROM person\"
  holdfast status                 every copy: state, applied position, lag, address
  holdfast verify                 do all copies hold the same content?

OUTPUT
  On a terminal: tables for people. Into a pipe, or with --json: one JSON document,
  the reply as it came over NATS. Notices and errors go to standard error; an error
  is one sentence that ends with what to do next.

TIMES
  In milliseconds, or with a unit: 500, 500ms, 5s, 2m.

EXIT CODES
  0    done
  1    failed, or `verify` found copies that differ
  2    the command line was not understood
  3    the group refused the request: repeating it as it is will not help
  4    nobody could serve it now (no NATS, no group, no copy): repeat it later
  5    the outcome is not known: repeat it with the same --id, it is done once at most
  130  interrupted

SETTINGS
  NATS: --nats, or [nats] in holdfast.toml, or HOLDFAST_NATS__URL, HOLDFAST_NATS__USER
  and so on; `holdfast config print` shows what is in force and hides the secrets.";

/// Keeps several identical copies of one SurrealDB database behind NATS.
///
/// Updates and queries are NATS messages: this command is one client among others, it starts a whole system on one
/// machine (`up`), and looks after it (`status`, `verify`, `csp`).
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, max_term_width = 110, after_long_help = AFTER_HELP)]
pub struct CommandLine {
    #[command(flatten)]
    pub common: CommonOptions,

    #[command(subcommand)]
    pub command: Command,
}

/// Options that every verb understands.
#[derive(Debug, Clone, Args)]
pub struct CommonOptions {
    /// Print JSON, also on a terminal
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,
}

/// Where NATS is to be found.
#[derive(Debug, Clone, Args)]
pub struct BusAddress {
    /// Address of NATS, several separated by commas [default: [nats] of the configuration, else nats://127.0.0.1:4222]
    #[arg(long, value_name = "URL")]
    pub nats: Option<String>,
}

/// Where the group is to be found.
#[derive(Debug, Clone, Args)]
pub struct Target {
    #[command(flatten)]
    pub bus: BusAddress,

    /// The redundancy group to speak to
    #[arg(long, env = "HOLDFAST_GROUP", default_value = "demo", value_name = "NAME")]
    pub group: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole system on this machine: NATS, the services, and a group of copies
    ///
    /// Starts nats-server with JetStream, administration, supervision, execution and one replication
    /// process for each copy; defines the group; starts again what dies; stops everything in order on
    /// Ctrl-C or SIGTERM (a second signal kills). It stays in the foreground and tells each event in a
    /// line. Running it again on the same DIR continues with the same data.
    ///
    /// Process ids are in DIR/run/NAME.pid, logs in DIR/log/NAME.log, where NAME is nats-1,
    /// administration, supervision, execution, csp-1, csp-2, ... (supervision-1, supervision-2, ...
    /// where there are several)
    #[command(verbatim_doc_comment)]
    Up(UpOptions),

    /// Define groups, and list them
    #[command(subcommand)]
    Group(GroupCommand),

    /// Take one copy out for maintenance and back, or stop and start it where `holdfast up` runs it
    #[command(subcommand)]
    Csp(CspCommand),

    /// Hand the task of being primary to another copy
    #[command(subcommand)]
    Primary(PrimaryCommand),

    /// See who holds which task of a group, and hand one to another copy
    #[command(subcommand)]
    Task(TaskCommand),

    /// Take turns: hold a lock by name, alone in the whole group
    ///
    /// A lock is held for a lease and then free for others, because its holder may be gone. So every
    /// acquisition gets a token, a number higher than all before it, and an update that names it
    /// (`holdfast update --lock NAME:TOKEN`) writes only if the lock is still held under it. Locks are
    /// part of the log like all else: every copy knows them, and no failure of one loses them.
    #[command(subcommand, verbatim_doc_comment)]
    Lock(LockCommand),

    /// Send an update: one transaction, all of its statements or none
    Update(UpdateOptions),

    /// Send a query: read only, answered by any copy that satisfies --consistency
    Query(QueryOptions),

    /// Send the statements of a SurrealQL file as updates
    ///
    /// The file is cut into batches of whole statements; each batch is one update and so one transaction.
    /// BEGIN ... COMMIT in the file keeps its statements in one. USE switches namespace and database,
    /// OPTION is left out. The small file FILE.progress remembers how far it came: running the same
    /// command again goes on there, and the batch that was under way is sent under its old id, so that
    /// nothing is carried out twice.
    #[command(verbatim_doc_comment)]
    Import(ImportOptions),

    /// Write a database as a SurrealQL file that `holdfast import` reads back
    ///
    /// Reads definitions and records page by page through queries. While others write, each page is
    /// exact, but the whole is not one moment in time: the positions of the first and the last page are
    /// written into it, and you are told if they differ. Definitions of users and accesses hold password
    /// hashes and keys: look after the file.
    #[command(verbatim_doc_comment)]
    Export(ExportOptions),

    /// Show every copy of a group: state, applied position, lag, address
    Status(StatusOptions),

    /// Compare the content of all copies at one position; exit code 1 if they differ
    Verify(VerifyOptions),

    /// Show the configuration in force
    #[command(subcommand)]
    Config(ConfigCommand),

    /// Run a program that ends when its parent ends; `up` starts nats-server through it
    #[command(hide = true)]
    Guard(GuardOptions),
}

#[derive(Debug, Subcommand)]
pub enum CspCommand {
    /// Stop one copy and leave it stopped; the others keep serving
    Stop(CspOptions),

    /// Start a copy that was stopped; it catches up before it serves
    Start(CspOptions),

    /// Take a copy out for maintenance: its tasks move, what it has is answered, and no request fails
    ///
    /// It returns when the copy has nothing left to do. The copy goes on applying the log, so it is up to date when it
    /// comes back.
    Drain(MaintenanceOptions),

    /// Let a copy in maintenance serve again; its tasks do not come back by themselves
    Resume(MaintenanceOptions),
}

#[derive(Debug, Subcommand)]
pub enum PrimaryCommand {
    /// Make another copy the primary while everything runs; it returns when the new one acts
    Move(MoveOptions),
}

#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// List the tasks of a group, who holds them, and why
    List(TaskListOptions),

    /// Hand a task to another copy; no copy gives it back by itself
    Move(TaskMoveOptions),
}

#[derive(Debug, Subcommand)]
pub enum LockCommand {
    /// Take a lock, or with --token hold on to it for longer; prints the token
    ///
    /// Waits until it is free or the deadline passes. Acquiring it again without a token waits for oneself: a lock
    /// belongs to an acquisition, not to a person.
    Acquire(AcquireOptions),

    /// Give a lock back, so that the next who waits gets it at once
    Release(ReleaseOptions),

    /// List the locks that are held, by whom, and for how much longer
    List(LockListOptions),

    /// Run a command while a lock is held: `holdfast lock run NAME -- COMMAND ARGS...`
    ///
    /// Waits for the lock, runs the command, gives the lock back, and ends with the command's exit code (128 and the
    /// signal if it was killed). The lock is renewed whenever a third of its lease is over.
    ///
    /// If it is lost, or cannot be renewed in time, the command gets SIGTERM, then SIGKILL before the lease is over,
    /// and the exit code is 1. If this process dies, the kernel sends SIGTERM to the command, and the lock is free when
    /// its lease is over.
    ///
    /// The command finds the lock in HOLDFAST_LOCK_NAME and the token in HOLDFAST_LOCK_TOKEN, for its updates:
    /// `holdfast update --lock "$HOLDFAST_LOCK_NAME:$HOLDFAST_LOCK_TOKEN" ...` writes nothing once the lock is lost,
    /// whatever clocks say.
    Run(RunOptions),
}

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Define a group: who holds its copies, who takes updates, what transactions are promised
    ///
    /// Of a group that is defined already, pools and update windows can be changed while it runs: give the options that it was
    /// defined with, and its pools and windows as they are to be. Those that are not given are taken away. A change of anything
    /// else is refused.
    Define(DefineOptions),

    /// List all groups
    List(ListOptions),
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the NATS settings as this command sees them, secrets hidden
    Print,
}

/// Options of `holdfast status`.
#[derive(Debug, Args)]
pub struct StatusOptions {
    #[command(flatten)]
    pub target: Target,
}

/// Options of `holdfast verify`.
#[derive(Debug, Args)]
pub struct VerifyOptions {
    #[command(flatten)]
    pub target: Target,

    /// Compare at this position, which an earlier `verify` printed [default: a new mark in the log]
    #[arg(long, value_name = "POSITION")]
    pub at: Option<u64>,

    /// How long to wait for the slowest copy's digest
    #[arg(long, default_value_t = 65_000, value_name = "MS", value_parser = milliseconds)]
    pub timeout_ms: u64,
}

/// A SurrealQL text given as an argument, as a file, or on standard input.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// The SurrealQL to send; `-` or nothing reads standard input
    #[arg(value_name = "SQL", conflicts_with = "file")]
    pub sql: Option<String>,

    /// Read the SurrealQL from this file
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::CommandLine;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
