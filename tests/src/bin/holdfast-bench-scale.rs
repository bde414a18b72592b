//! Prints what a query costs from one copy to many.

use std::time::Duration;

use clap::Parser;
use holdfast_tests::bench::{print_scale, scale_row};

/// Measure what a query costs with more and more copies.
#[derive(Parser)]
struct Arguments {
    /// The most copies.
    #[arg(long, default_value_t = 5)]
    copies: usize,
    /// Clients at once for each copy: who adds copies has more to ask them.
    #[arg(long, default_value_t = 16)]
    clients: u64,
    /// So many clients at once for any number of copies, instead.
    #[arg(long, conflicts_with = "clients")]
    total: Option<u64>,
    /// Seconds for each number of copies.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Print JSON lines instead of a table.
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut rows = Vec::new();
    for copies in 1..=arguments.copies {
        eprintln!("{copies} of {} copies", arguments.copies);
        let clients = arguments.total.unwrap_or(arguments.clients * u64::try_from(copies)?);
        rows.push(scale_row(copies, clients, Duration::from_secs(arguments.seconds)).await?);
    }
    print_scale(&rows, arguments.json)
}
