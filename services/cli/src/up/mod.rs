//! `holdfast up`: a whole system on one machine, as child processes in the foreground.
//!
//! Order of starting: NATS; the claim to the group; administration, supervision, execution; the group's definition, which makes the log; the
//! copies. Order of stopping: see [`plan::Stage`]. In between, each child has a [`keeper::Keeper`].
//!
//! Everything runs on one thread: Linux ties "end with my parent" to the thread that started the child.

pub mod agent;
pub mod control;
pub mod copies;
pub mod directory;
pub mod group;
pub mod guard;
pub mod guard_all;
pub mod keeper;
pub mod leftover;
pub mod nats_server;
pub mod ownership;
pub mod plan;
pub mod process;
pub mod revive;
pub mod system;
pub mod terminal;

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{arguments::up::UpOptions, error::CliError};
use directory::DataDirectory;
use system::System;
use terminal::Terminal;

/// Runs a system until it is told to stop.
///
/// # Errors
/// It cannot be started; what had started by then is stopped again.
pub async fn run(options: &UpOptions, json: bool) -> Result<(), CliError> {
    let terminal = Terminal::new(json);
    let mut signals = Signals::listen()?;
    let directory = Arc::new(DataDirectory::new(&options.data)?);
    let _ownership = directory.take()?;
    leftover::end_all(&directory, terminal).await;
    directory.clear_run();

    let mut system = System::new(options, directory.clone(), terminal);
    let outcome = tokio::select! {
        outcome = system.start_and_watch() => outcome,
        name = signals.next() => {
            terminal.say("up", &format!("{name}: stopping, once more to kill"));
            Ok(())
        }
    };
    let stopped = tokio::select! {
        () = system.stop() => Ok(()),
        _ = signals.next() => Err(CliError::Interrupted),
    };
    if stopped.is_err() {
        system.kill().await;
    }
    directory.clear_run();
    outcome.and(stopped)
}

/// The signals that end a system in the foreground: from the keyboard, from a manager, from a terminal that closes.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let listen = |kind| {
            signal(kind).map_err(|error| CliError::Machine(format!("signals cannot be received ({error}): try again")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "told to end",
            _ = self.hang_up.recv() => "the terminal closed",
        }
    }
}
