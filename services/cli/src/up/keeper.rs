//! Keeps one child as it is wanted: starts it, waits until it is ready, starts it again when it dies, stops it when told.
//!
//! It holds two levels rather than passing events: what is wanted (set from outside) and what is (read from outside).
//! So nobody can miss a message, and asking twice does no harm.

use std::{fs, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    directory::DataDirectory,
    plan::{ChildPlan, Readiness, Stage},
    process::{Process, forget_files, is_mark},
    terminal::Terminal,
};
use crate::{error::CliError, model::back_off::BackOff};

const POLL: Duration = Duration::from_millis(20);

/// A child that died this often in a row before it was ever ready is not going to be.
const HOPELESS: u32 = 5;

/// What is wanted of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// That it runs.
    Run,
    /// That it does not, until further notice.
    Stop,
    /// That it does not, and that its keeper goes home.
    End,
    /// The same, at once.
    Kill,
}

/// What a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Not running; died so often in a row.
    Down {
        /// How often.
        failures: u32,
    },
    /// Started, not ready yet.
    Starting,
    /// Does its work.
    Ready,
    /// Not running because that is wanted.
    Stopped,
}

impl Condition {
    /// Whether it died so often in a row that nobody should wait for it. It is started again all the same.
    #[must_use]
    pub fn is_hopeless(self) -> bool {
        matches!(self, Self::Down { failures } if failures >= HOPELESS)
    }
}

/// The keeper of one child.
pub struct Keeper {
    /// The child's name.
    pub name: String,
    /// When it is stopped.
    pub stage: Stage,
    wish: watch::Sender<Wish>,
    condition: watch::Receiver<Condition>,
    task: JoinHandle<()>,
    directory: Arc<DataDirectory>,
}

impl Keeper {
    /// Starts keeping. Must be called on the thread that lives as long as the process: Linux ties the wish to end with
    /// one's parent to the thread that did the starting.
    #[must_use]
    pub fn start(plan: ChildPlan, directory: Arc<DataDirectory>, terminal: Terminal) -> Self {
        let (wish, wishes) = watch::channel(Wish::Run);
        let (conditions, condition) = watch::channel(Condition::Down { failures: 0 });
        let (name, stage) = (plan.name.clone(), plan.stage);
        let keeping =
            Keeping { plan, directory: directory.clone(), terminal, wishes, conditions, back_off: BackOff::default() };
        Self { name, stage, wish, condition, task: tokio::spawn(keeping.run()), directory }
    }

    /// Says what is wanted from now on.
    pub fn want(&self, wish: Wish) {
        self.wish.send_if_modified(|current| {
            let changed = *current != wish && !matches!(*current, Wish::Kill);
            if changed {
                *current = wish;
            }
            changed
        });
    }

    /// What the child is now.
    #[must_use]
    pub fn condition(&self) -> Condition {
        *self.condition.borrow()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It dies again and again.
    pub async fn ready(&mut self) -> Result<(), CliError> {
        let settled = self
            .condition
            .wait_for(|now| match now {
                Condition::Ready | Condition::Stopped => true,
                Condition::Down { .. } => now.is_hopeless(),
                Condition::Starting => false,
            })
            .await
            .map(|now| *now);
        match settled {
            Ok(Condition::Ready | Condition::Stopped) => Ok(()),
            _ => Err(CliError::Machine(self.complaint())),
        }
    }

    /// That it does not start, with its last word and where to read more.
    #[must_use]
    pub fn complaint(&self) -> String {
        let log = self.directory.log(&self.name);
        format!("{} does not start: {}; read {} and try again", self.name, self.last_word(), log.display())
    }

    /// The last line of its log.
    #[must_use]
    pub fn last_word(&self) -> String {
        let text = fs::read_to_string(self.directory.log(&self.name)).unwrap_or_default();
        let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
        lines.find(|line| !is_mark(line)).unwrap_or("it left no word").to_owned()
    }

    /// Waits until the child is gone after [`Wish::End`] or [`Wish::Kill`].
    pub async fn gone(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }
}

struct Keeping {
    plan: ChildPlan,
    directory: Arc<DataDirectory>,
    terminal: Terminal,
    wishes: watch::Receiver<Wish>,
    conditions: watch::Sender<Condition>,
    back_off: BackOff,
}

impl Keeping {
    async fn run(mut self) {
        loop {
            let wish = *self.wishes.borrow_and_update();
            match wish {
                Wish::Run => self.run_once().await,
                Wish::Stop => {
                    self.conditions.send_replace(Condition::Stopped);
                    if self.wishes.changed().await.is_err() {
                        return;
                    }
                }
                Wish::End | Wish::Kill => return,
            }
        }
    }

    fn say(&self, event: &str) {
        self.terminal.say(&self.plan.name, event);
    }

    /// From one start to the next wish, or to the end of the wait after the child died.
    async fn run_once(&mut self) {
        let started = Instant::now();
        self.conditions.send_replace(Condition::Starting);
        let mut process = match Process::start(&self.plan, &self.directory) {
            Ok(process) => process,
            Err(error) => return self.died(&error.to_string(), started).await,
        };
        self.say(&format!("started (pid {})", process.pid()));
        let ended = loop {
            tokio::select! {
                how = process.ended() => break Some(how),
                () = unwanted(&mut self.wishes) => break None,
                () = ready(&self.plan.readiness), if *self.conditions.borrow() == Condition::Starting => {
                    self.say(&format!("ready after {:.1} s", started.elapsed().as_secs_f64()));
                    self.conditions.send_replace(Condition::Ready);
                }
            }
        };
        match ended {
            Some(how) => {
                forget_files(&self.plan, &self.directory);
                self.died(&format!("died ({how})"), started).await;
            }
            None => self.stop(&mut process).await,
        }
    }

    async fn died(&mut self, what: &str, started: Instant) {
        let wait = self.back_off.after_failure(started.elapsed());
        self.say(&format!("{what}, starting it again in {} ms", wait.as_millis()));
        self.conditions.send_replace(Condition::Down { failures: self.back_off.failures() });
        tokio::select! {
            () = sleep(wait) => {}
            () = unwanted(&mut self.wishes) => {}
        }
    }

    async fn stop(&mut self, process: &mut Process) {
        let kill_at_once = *self.wishes.borrow() == Wish::Kill;
        let by_itself = if kill_at_once {
            process.kill().await;
            false
        } else {
            tokio::select! {
                by_itself = process.stop() => by_itself,
                () = killed(&mut self.wishes) => {
                    process.kill().await;
                    false
                }
            }
        };
        forget_files(&self.plan, &self.directory);
        self.back_off.reset();
        self.say(if by_itself { "stopped" } else { "killed" });
    }
}

async fn unwanted(wishes: &mut watch::Receiver<Wish>) {
    // A keeper that was dropped wants nothing any more.
    let _ = wishes.wait_for(|wish| *wish != Wish::Run).await;
}

async fn killed(wishes: &mut watch::Receiver<Wish>) {
    if wishes.wait_for(|wish| *wish == Wish::Kill).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn ready(readiness: &Readiness) {
    loop {
        let now = match readiness {
            Readiness::File(path) => path.exists(),
            Readiness::Port(port) => TcpStream::connect(("127.0.0.1", *port)).await.is_ok(),
        };
        if now {
            return;
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
