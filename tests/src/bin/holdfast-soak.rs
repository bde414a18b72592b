//! The long runs: thousands of kills, and a CSP that was away for a million transactions. The seed repeats a run.

use std::time::Duration;

use clap::Parser;
use holdfast_tests::scenario::{Away, Counter, Kills, Transfer};
use holdfast_tests::system::{Options, System};

/// Break a group for a long time, and demand that nothing was lost.
#[derive(Parser)]
struct Arguments {
    /// Decides everything that is left to chance.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// Kills, over all kinds of groups.
    #[arg(long, default_value_t = 1_500)]
    kills: usize,
    /// Transactions that one CSP misses; 0 leaves this part out.
    #[arg(long, default_value_t = 1_000_000)]
    missed: usize,
    /// Only this kind of group: 1 peers, 2 with a primary, 3 in memory, 4 with three NATS servers.
    #[arg(long)]
    only: Option<usize>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let wanted = |at: usize| arguments.only.is_none_or(|only| only == at + 1);
    for (at, options) in groups().into_iter().enumerate().filter(|(at, _)| wanted(*at)) {
        let seed = arguments.seed.wrapping_add(at as u64);
        let name = format!("{} {} {} servers", options.replication, options.storage, options.nats_servers);
        eprintln!(
            "{name}: to repeat, holdfast-soak --seed {} --kills {} --only {}",
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
    if arguments.missed == 0 {
        return Ok(());
    }
    let away = Away { transactions: arguments.missed, bound: Duration::from_secs(1_800) };
    System::run(Options::peer(), async |system| {
        away.run(&system, "csp-2", false).await?;
        away.run(&system, "csp-3", true).await
    })
    .await
}

fn groups() -> Vec<Options> {
    let base = Options { executions: 2, sync_interval: Some("always".into()), ..Options::peer() };
    vec![
        base.clone(),
        Options { replication: "primary", ..base.clone() },
        Options { storage: "mem", ..base.clone() },
        Options { nats_servers: 3, ..base },
    ]
}
