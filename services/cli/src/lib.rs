//! The `holdfast` command: a client of a group, and the runner of a whole system on one machine.
//!
//! `arguments` says what can be asked, `commands` and `up` carry it out, `model` decides without doing, `output` shows.

pub mod arguments;
pub mod client;
pub mod commands;
pub mod error;
pub mod model;
pub mod output;
pub mod up;

use std::process::ExitCode;

use clap::Parser;

use arguments::{
    Command, CommandLine, ConfigCommand, CspCommand, GroupCommand, LockCommand, PrimaryCommand, TaskCommand,
};
use error::CliError;
use holdfast_schemas::Message as _;
use output::Reader;

/// Parses the command line, carries it out, and says in one sentence why not if it fails.
#[must_use]
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    let json = line.common.json;
    match start(line) {
        Ok(code) => code,
        Err(error) => {
            report(&error, json);
            ExitCode::from(error.exit() as u8)
        }
    }
}

fn start(line: CommandLine) -> Result<ExitCode, CliError> {
    // It becomes another program, so it must not have started any threads.
    if let Command::Guard(options) = &line.command {
        return up::guard::run(options);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        CliError::Machine(format!("the machine gives no resources ({error}): close programs and try again"))
    })?;
    runtime.block_on(run(line))
}

/// Done is 0, but for a command that runs another one and ends as that does.
async fn run(line: CommandLine) -> Result<ExitCode, CliError> {
    let reader = Reader::detect(line.common.json);
    let done = match line.command {
        Command::Lock(LockCommand::Run(options)) => return commands::lock_run::run(&options).await,
        Command::Up(options) => up::run(&options, line.common.json).await,
        Command::Group(GroupCommand::Define(options)) => commands::group::define(&options, reader).await,
        Command::Group(GroupCommand::List(options)) => commands::group::list(&options, reader).await,
        Command::Csp(CspCommand::Stop(options)) => up::control::stop(&options).await,
        Command::Csp(CspCommand::Start(options)) => up::control::start(&options).await,
        Command::Csp(CspCommand::Drain(options)) => commands::maintenance::drain(&options, reader).await,
        Command::Csp(CspCommand::Resume(options)) => commands::maintenance::resume(&options, reader).await,
        Command::Primary(PrimaryCommand::Move(options)) => commands::task::move_primary(&options, reader).await,
        Command::Task(TaskCommand::List(options)) => commands::task::list(&options, reader).await,
        Command::Lock(LockCommand::Acquire(options)) => commands::lock::acquire(&options, reader).await,
        Command::Lock(LockCommand::Release(options)) => commands::lock::release(&options, reader).await,
        Command::Lock(LockCommand::List(options)) => commands::lock::list(&options, reader).await,
        Command::Task(TaskCommand::Move(options)) => commands::task::move_task(&options, reader).await,
        Command::Update(options) => commands::update::run(&options, reader).await,
        Command::Query(options) => commands::query::run(&options, reader).await,
        Command::Import(options) => commands::import::run(&options, reader).await,
        Command::Export(options) => commands::export::run(&options, reader).await,
        Command::Status(options) => commands::status::run(&options, reader).await,
        Command::Verify(options) => commands::verify::run(&options, reader).await,
        Command::Config(ConfigCommand::Print) => commands::config::print(),
        Command::Guard(options) => return up::guard::run(&options),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Errors go to standard error: as a sentence, or where JSON was asked for as the error reply of the group, or one of the
/// same shape.
fn report(error: &CliError, json: bool) {
    let text = match error {
        CliError::Refused(reply) if json => String::from_utf8_lossy(&reply.encode()).into_owned(),
        _ if json => serde_json::json!({"error": {"code": error.code(), "message": error.to_string()}}).to_string(),
        _ => format!("holdfast: {error}"),
    };
    output::notice(&text);
}
