//! Prints how long clients wait when something is lost, beside what was promised.

use clap::Parser;
use clap::builder::PossibleValuesParser;
use holdfast_tests::bench::{Case, failover_row, print_failover};

/// Kill, stop or cut off one part of a whole group at work, again and again, and measure the pause that clients see.
#[derive(Parser)]
struct Arguments {
    /// Runs of each case; a fifth of them where NATS has to elect a leader.
    #[arg(long, default_value_t = 50)]
    runs: usize,
    /// Only these cases.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(Case::ALL.map(Case::name)))]
    only: Vec<String>,
    /// Print JSON lines instead of a table.
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let wanted = |case: &Case| arguments.only.is_empty() || arguments.only.iter().any(|name| name == case.name());
    let mut rows = Vec::new();
    let mut failed = Ok(());
    for case in Case::ALL.into_iter().filter(wanted) {
        eprintln!("{}: {} runs", case.title(), case.runs(arguments.runs));
        match failover_row(case, arguments.runs).await {
            Ok(row) => rows.push(row),
            Err(error) => {
                // What the other cases give is worth knowing all the same.
                eprintln!("{} gave no result: {error:#}", case.title());
                failed = Err(error);
            }
        }
    }
    print_failover(&rows, arguments.json)?;
    failed?;
    let missed: Vec<&str> = rows.iter().filter(|row| !row.met).map(|row| row.case).collect();
    anyhow::ensure!(missed.is_empty(), "limits were missed: {}", missed.join(", "));
    Ok(())
}
