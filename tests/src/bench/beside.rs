//! Two builds, measured in turn: whether one is faster than the other.
//!
//! What else a machine does changes from minute to minute by more than most changes to a program do, so figures of two runs say
//! little about two builds. Here both systems run at once, and each case is measured on one and on the other by turns of a
//! second; only neighbours are compared, and the median of their ratios is told with its quartiles. The system whose turn it is
//! not has nothing to do but its heartbeats.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::end_to_end::{Operation, PATIENCE, RECORDS, SCHEMA, connect, run};
use crate::client::{Client, Request};
use crate::scenario::create_many;
use crate::system::{Options, System, Usage};

/// What is measured.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Both systems, but for their programs.
    pub options: Options,
    /// Where the other build's programs lie.
    pub other: PathBuf,
    /// How often it is each one's turn in a case.
    pub turns: u64,
    /// Length of a turn.
    pub turn: Duration,
    /// Clients at once, one case each.
    pub clients: Vec<u64>,
}

/// One case on both.
#[derive(Debug)]
pub struct BesideRow {
    case: &'static str,
    clients: u64,
    turns: Vec<[Turn; 2]>,
}

/// What one turn gave: of this build, or of the other one.
#[derive(Debug)]
struct Turn {
    ops_per_s: f64,
    operations: f64,
    used: Usage,
}

/// A system, and its clients of the case that is measured.
struct Side {
    system: Arc<System>,
    clients: Arc<[Client]>,
}

impl Beside {
    /// Measures creates, updates and reads. A request that fails ends it.
    pub async fn rows(&self) -> anyhow::Result<Vec<BesideRow>> {
        let other = Options { programs: Some(self.other.clone()), ..self.options.clone() };
        let mut rows = Vec::new();
        System::run(self.options.clone(), async |this| {
            System::run(other, async |other| {
                for system in [&this, &other] {
                    system.client().commit(Request::new(SCHEMA), PATIENCE).await?;
                    create_many(&system.client(), "person", usize::try_from(RECORDS)?).await?;
                }
                for operation in [Operation::Create, Operation::Update, Operation::Read] {
                    for &clients in &self.clients {
                        let row = self.row([&this, &other], operation, clients).await;
                        rows.push(row.with_context(|| format!("{operation:?} with {clients} clients"))?);
                    }
                }
                Ok(())
            })
            .await
        })
        .await?;
        Ok(rows)
    }

    async fn row(&self, systems: [&Arc<System>; 2], operation: Operation, clients: u64) -> anyhow::Result<BesideRow> {
        let mut sides = Vec::new();
        for system in systems {
            let side = Side { system: Arc::clone(system), clients: connect(system, clients).await? };
            side.turn(operation, self.turn).await?;
            sides.push(side);
        }
        let mut turns = Vec::new();
        for number in 0..self.turns {
            // Each begins as often as the other, so that none has the better place.
            let turn = if number % 2 == 0 {
                let this = sides[0].turn(operation, self.turn).await?;
                [this, sides[1].turn(operation, self.turn).await?]
            } else {
                let other = sides[1].turn(operation, self.turn).await?;
                [sides[0].turn(operation, self.turn).await?, other]
            };
            turns.push(turn);
        }
        Ok(BesideRow { case: operation.name(), clients, turns })
    }
}

impl Side {
    async fn turn(&self, operation: Operation, duration: Duration) -> anyhow::Result<Turn> {
        let before = self.system.usage();
        let measured = run(&self.clients, operation, duration).await?;
        let used = self.system.usage().since(&before);
        Ok(Turn { ops_per_s: measured.per_second(), operations: measured.latencies_us.len() as f64, used })
    }
}

impl Turn {
    fn cpu_us_per_op(&self) -> f64 {
        self.used.total().as_micros() as f64 / self.operations.max(1.0)
    }
}

/// Prints, for each case, this build's figures as multiples of the other one's, and where the CPU time goes.
pub fn print_beside(rows: &[BesideRow]) {
    println!(
        "{:<10}{:>8}{:>12}{:>12}{:>9}{:>16}{:>12}{:>12}{:>9}{:>16}",
        "case", "clients", "ops/s", "other", "x other", "quartiles", "CPU us/op", "other", "x other", "quartiles"
    );
    for row in rows {
        let [ops, other_ops] = row.medians(|turn| turn.ops_per_s);
        let [cpu, other_cpu] = row.medians(Turn::cpu_us_per_op);
        let [ops_low, ops_ratio, ops_high] = row.ratios(|turn| turn.ops_per_s);
        let [cpu_low, cpu_ratio, cpu_high] = row.ratios(Turn::cpu_us_per_op);
        println!(
            "{:<10}{:>8}{ops:>12.0}{other_ops:>12.0}{ops_ratio:>9.2}{:>16}{cpu:>12.0}{other_cpu:>12.0}{cpu_ratio:>9.2}{:>16}",
            row.case,
            row.clients,
            format!("{ops_low:.2} to {ops_high:.2}"),
            format!("{cpu_low:.2} to {cpu_high:.2}")
        );
        for process in row.processes() {
            let [this, other] = row.cpu_us_per_op_of(&process);
            println!("{:<66}{process:>12}{this:>12.1}{other:>12.1}", "");
        }
    }
}

impl BesideRow {
    fn medians(&self, figure: impl Fn(&Turn) -> f64) -> [f64; 2] {
        [0, 1].map(|side| quartiles(self.turns.iter().map(|turns| figure(&turns[side])).collect())[1])
    }

    fn ratios(&self, figure: impl Fn(&Turn) -> f64) -> [f64; 3] {
        quartiles(self.turns.iter().map(|[this, other]| figure(this) / figure(other)).collect())
    }

    fn processes(&self) -> Vec<String> {
        self.turns.first().map(|[this, _]| this.used.by_process.keys().cloned().collect()).unwrap_or_default()
    }

    /// Over all turns: the clock that counts CPU time is too coarse for one.
    fn cpu_us_per_op_of(&self, process: &str) -> [f64; 2] {
        [0, 1].map(|side| {
            let used = |turn: &Turn| turn.used.by_process.get(process).copied().unwrap_or_default().as_micros() as f64;
            let (used, operations) = self.turns.iter().fold((0.0, 0.0), |(total, operations), turns| {
                (total + used(&turns[side]), operations + turns[side].operations)
            });
            used / operations.max(1.0)
        })
    }
}

/// Lower quartile, median and upper quartile; between two figures, the part of the way that is due.
fn quartiles(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    let at = |place: usize| figures.get(place.min(last)).copied().unwrap_or(f64::NAN);
    [1, 2, 3].map(|quarter| {
        let (place, part) = (last * quarter / 4, (last * quarter % 4) as f64 / 4.0);
        at(place) + (at(place + 1) - at(place)) * part
    })
}
