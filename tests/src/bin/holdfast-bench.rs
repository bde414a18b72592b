//! Prints one table from one run: plain embedded SurrealDB, three copies at engine level, and the whole system.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use holdfast_tests::bench::{Beside, EndToEnd, engine_rows, print_beside, print_table};
use holdfast_tests::system::Options;

/// Measure Holdfast against plain embedded SurrealDB, on this machine, in one run.
#[derive(Parser)]
struct Arguments {
    /// Print JSON lines instead of a table.
    #[arg(long)]
    json: bool,
    /// Seconds for each case.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Two seconds for each case: a look, not a measurement.
    #[arg(long)]
    quick: bool,
    /// Leave out the engine level.
    #[arg(long)]
    end_to_end_only: bool,
    /// Measure hot records alone, end to end.
    #[arg(long)]
    hot_only: bool,
    /// Measure end to end beside the programs of another build, which lie in this folder: by turns of a second, as many for
    /// each case as there are seconds.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["json", "hot_only"])]
    beside: Option<PathBuf>,
    /// How the group replicates.
    #[arg(long, default_value = "primary", value_parser = ["primary", "peer"])]
    replication: String,
    /// Where the copies are kept.
    #[arg(long, default_value = "surrealkv", value_parser = ["surrealkv", "mem"])]
    storage: String,
    /// NATS servers.
    #[arg(long, default_value_t = 1)]
    nats_servers: usize,
    /// nats-server's sync_interval, for instance "always"; without it nats-server's own default.
    #[arg(long)]
    sync_interval: Option<String>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let seconds = if arguments.quick { 2 } else { arguments.seconds };
    let options = Options {
        replication: if arguments.replication == "peer" { "peer" } else { "primary" },
        storage: if arguments.storage == "mem" { "mem" } else { "surrealkv" },
        nats_servers: arguments.nats_servers,
        sync_interval: arguments.sync_interval.clone(),
        ..Options::default()
    };
    if !arguments.json {
        println!(
            "three CSPs, {}, {}, {} NATS server(s), sync_interval {}; {seconds} s per case",
            options.replication,
            options.storage,
            options.nats_servers,
            options.sync_interval.as_deref().unwrap_or("as nats-server has it")
        );
    }
    if let Some(other) = arguments.beside {
        let beside = Beside { options, other, turns: seconds, turn: Duration::from_secs(1), clients: vec![1, 32] };
        print_beside(&beside.rows().await?);
        return Ok(());
    }
    let mut rows = Vec::new();
    if !arguments.end_to_end_only && !arguments.hot_only {
        rows.extend(engine_rows(seconds)?);
    }
    let end_to_end = EndToEnd {
        options,
        duration: Duration::from_secs(seconds),
        clients: vec![1, 32],
        hot_clients: vec![1, 32, 256],
        only_hot: arguments.hot_only,
    };
    rows.extend(end_to_end.rows().await?);
    print_table(rows, arguments.json)
}
