//! The long runs: every fault that there is for half an hour, thousands of kills, a CSP that was away for a million
//! transactions. The seed repeats a run.

use std::time::Duration;

use clap::Parser;
use holdfast_tests::scenario::{Away, Counter, Faults, Kills, Sabotage, Transfer};
use holdfast_tests::system::{Options, System, disks_impossible};
use tokio::time::Instant;

/// Break a group for a long time, and demand that nothing was lost.
///
/// Without --minutes, --chapter, --kills, --missed and --sabotage: everything that can go wrong, for 30 minutes.
#[derive(Parser)]
struct Arguments {
    /// Decides everything that is left to chance.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// How long to kill, pause, cut, slow down, fill disks and step clocks. It goes in chapters, each with a group of its own.
    #[arg(long)]
    minutes: Option<u64>,
    /// Only this chapter of that: what a failed one says to repeat.
    #[arg(long)]
    chapter: Option<u64>,
    /// Kills, over all kinds of groups; 0 leaves this part out.
    #[arg(long, default_value_t = 0)]
    kills: usize,
    /// Transactions that one CSP misses; 0 leaves this part out.
    #[arg(long, default_value_t = 0)]
    missed: usize,
    /// Lets the product break a promise on purpose, and demands that it is noticed within 5 minutes: one of the names that
    /// `HOLDFAST_FAULT` takes, or `all`.
    #[arg(long)]
    sabotage: Option<String>,
    /// Only this kind of group: 1 peers, 2 with a primary, 3 in memory, 4 with a primary and three NATS servers.
    #[arg(long)]
    only: Option<usize>,
}

const MINUTES: u64 = 30;
const SABOTAGE_FOUND_WITHIN: Duration = Duration::from_secs(300);
/// What one chapter does to its group.
const CHAPTER: Faults =
    Faults { seed: 0, episodes: 20, lasts_max: Duration::from_secs(4), clients: 8, keys: 32, begins_held: false };

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let asked = arguments.kills > 0 || arguments.missed > 0 || arguments.sabotage.is_some();
    let minutes = arguments.minutes.unwrap_or(if asked || arguments.chapter.is_some() { 0 } else { MINUTES });
    if let Some(why) = disks_impossible() {
        eprintln!("full disks are left out, because none can be mounted here (it takes root): {why}");
    }
    if let Some(chapter) = arguments.chapter {
        break_everything(&arguments, chapter).await?;
    }
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut chapter = 0;
    while Instant::now() < end {
        break_everything(&arguments, chapter).await?;
        chapter += 1;
    }
    if arguments.kills > 0 {
        kill(&arguments).await?;
    }
    if arguments.missed > 0 {
        miss(arguments.missed).await?;
    }
    if let Some(name) = &arguments.sabotage {
        sabotage(arguments.seed, name).await?;
    }
    Ok(())
}

/// Fails if a promise that was broken on purpose is not noticed.
async fn sabotage(seed: u64, name: &str) -> anyhow::Result<()> {
    let chosen = Sabotage::ALL.into_iter().filter(|sabotage| name == "all" || name == sabotage.name);
    let mut missed = Vec::new();
    let mut tried = 0;
    for sabotage in chosen {
        let began = Instant::now();
        let seen = sabotage.is_found(seed, SABOTAGE_FOUND_WITHIN).await;
        println!("{}: after {:.0?}: {}", sabotage.name, began.elapsed(), seen.as_deref().unwrap_or("NOT FOUND"));
        missed.extend(seen.is_none().then_some(sabotage.name));
        tried += 1;
    }
    anyhow::ensure!(tried > 0, "there is no sabotage {name}: {:?}", Sabotage::ALL.map(|sabotage| sabotage.name));
    anyhow::ensure!(missed.is_empty(), "not noticed: {missed:?}");
    Ok(())
}

/// One chapter: a group of its own, broken and healed again and again.
async fn break_everything(arguments: &Arguments, chapter: u64) -> anyhow::Result<()> {
    let groups = groups();
    let kind = arguments.only.map_or(usize::try_from(chapter)? % groups.len(), |only| only - 1);
    let options = groups.get(kind).cloned().ok_or_else(|| anyhow::anyhow!("there is no kind {}", kind + 1))?;
    let only = arguments.only.map(|only| format!(" --only {only}")).unwrap_or_default();
    let repeat = format!("to repeat, holdfast-soak --seed {} --chapter {chapter}{only}", arguments.seed);
    eprintln!("chapter {chapter}, {}: {repeat}", name(&options));
    let plan = Faults { seed: arguments.seed.wrapping_add(chapter), ..CHAPTER };
    let outcome = System::run(options.breakable(), async |system| plan.run(&system).await.map(drop)).await;
    outcome.inspect_err(|_| eprintln!("chapter {chapter} failed; {repeat}"))
}

async fn kill(arguments: &Arguments) -> anyhow::Result<()> {
    let wanted = |at: usize| arguments.only.is_none_or(|only| only == at + 1);
    for (at, options) in groups().into_iter().enumerate().filter(|(at, _)| wanted(*at)) {
        let seed = arguments.seed.wrapping_add(at as u64);
        eprintln!(
            "{}: to repeat, holdfast-soak --seed {} --kills {} --only {}",
            name(&options),
            arguments.seed,
            arguments.kills,
            at + 1
        );
        let plan = Kills { seed, kills: arguments.kills / 4, clients: 12, keys: 64 };
        System::run(options, async |system| {
            plan.run(&system).await?;
            Counter { clients: 64, increments: 50 }.run(&system.client()).await?;
            Transfer { clients: 64, transfers: 50, accounts: 40, seed }.run(&system.client()).await?;
            system.equal_digests(&system.csps()).await?;
            system.all_alive()
        })
        .await?;
    }
    Ok(())
}

async fn miss(transactions: usize) -> anyhow::Result<()> {
    let away = Away { transactions, bound: Duration::from_secs(1_800) };
    System::run(Options::peer(), async |system| {
        away.run(&system, "csp-2", false).await?;
        away.run(&system, "csp-3", true).await
    })
    .await
}

fn groups() -> Vec<Options> {
    vec![
        Options::peer().redundant(),
        Options::primary().redundant(),
        Options { storage: "mem", ..Options::peer().redundant() },
        Options { nats_servers: 3, ..Options::primary().redundant() },
    ]
}

fn name(options: &Options) -> String {
    format!("{} {} {} NATS server(s)", options.replication, options.storage, options.nats_servers)
}
