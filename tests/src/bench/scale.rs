//! What a query costs with more and more copies: CPU time of Holdfast's own processes per query, without the load generator
//! and NATS. On one machine the copies share its cores, so it is this figure that has to stay flat, not the throughput that
//! can grow.

use std::time::Duration;

use rand::RngExt;
use serde::Serialize;

use super::measure::measure;
use crate::client::{Client, Request};
use crate::scenario::create_many;
use crate::system::{Options, System, Usage, cpu_time};

const RECORDS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// What so many copies gave.
#[derive(Clone, Debug, Serialize)]
pub struct ScaleRow {
    /// Copies.
    pub copies: usize,
    /// Clients at once.
    pub clients: u64,
    /// Queries per second, of a machine that everything shares.
    pub queries_per_s: f64,
    /// Median latency.
    pub p50_ms: f64,
    /// Latency that one in a hundred exceeds.
    pub p99_ms: f64,
    /// CPU time per query of all copies together.
    pub copies_us: f64,
    /// CPU time per query of execution.
    pub execution_us: f64,
    /// CPU time per query of supervision and administration.
    pub watching_us: f64,
    /// The three together.
    pub holdfast_us: f64,
    /// CPU time per query of NATS, which is not counted.
    pub nats_us: f64,
    /// CPU time per query of the load generator, which is not counted.
    pub load_us: f64,
}

/// Measures queries from so many clients over `copies` copies. A query that fails ends the measurement.
pub async fn scale_row(copies: usize, clients: u64, duration: Duration) -> anyhow::Result<ScaleRow> {
    let mut row = None;
    System::run(Options { csps: copies, ..Options::peer() }, async |system| {
        system.client().commit(Request::new("DEFINE TABLE person"), PATIENCE).await?;
        create_many(&system.client(), "person", usize::try_from(RECORDS)?).await?;
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(system.new_client().await?);
        }
        // A short run first, so that caches and routing tables are as they are in the middle of a day.
        query(&connections, duration / 8).await?;
        let (before, load) = (system.usage(), own_cpu_time());
        let measured = query(&connections, duration).await?;
        let (used, load) = (system.usage().since(&before), own_cpu_time().saturating_sub(load));
        let of = |prefixes: &[&str]| measured.per_operation(cpu_of(&used, prefixes).as_micros() as f64);
        row = Some(ScaleRow {
            copies,
            clients,
            queries_per_s: measured.per_second(),
            p50_ms: measured.at_ms(0.5),
            p99_ms: measured.at_ms(0.99),
            copies_us: of(&["csp-"]),
            execution_us: of(&["execution-"]),
            watching_us: of(&["supervision-", "administration-"]),
            holdfast_us: of(&["csp-", "execution-", "supervision-", "administration-"]),
            nats_us: of(&["nats-"]),
            load_us: measured.per_operation(load.as_micros() as f64),
        });
        Ok(())
    })
    .await?;
    row.ok_or_else(|| anyhow::anyhow!("nothing was measured"))
}

/// Prints all rows, as a table or as JSON lines.
pub fn print_scale(rows: &[ScaleRow], json: bool) -> anyhow::Result<()> {
    if json {
        for row in rows {
            println!("{}", serde_json::to_string(row)?);
        }
        return Ok(());
    }
    println!(
        "{:>6}{:>9}{:>11}{:>9}{:>9}{:>12}{:>12}{:>12}{:>18}{:>10}{:>10}{:>10}",
        "copies",
        "clients",
        "queries/s",
        "p50 ms",
        "p99 ms",
        "copies us",
        "execution",
        "watching",
        "CPU us per query",
        "x one",
        "NATS us",
        "load us"
    );
    let one = rows.first().map(|row| row.holdfast_us);
    for row in rows {
        println!(
            "{:>6}{:>9}{:>11.0}{:>9.2}{:>9.2}{:>12.0}{:>12.0}{:>12.0}{:>18.0}{:>10.2}{:>10.0}{:>10.0}",
            row.copies,
            row.clients,
            row.queries_per_s,
            row.p50_ms,
            row.p99_ms,
            row.copies_us,
            row.execution_us,
            row.watching_us,
            row.holdfast_us,
            one.map_or(1.0, |one| row.holdfast_us / one),
            row.nats_us,
            row.load_us
        );
    }
    println!("CPU us per query is of Holdfast's own processes, what they do besides queries included; no query failed");
    Ok(())
}

async fn query(connections: &[Client], duration: Duration) -> anyhow::Result<super::measure::Measured> {
    let connections: std::sync::Arc<[Client]> = connections.into();
    measure(connections.len() as u64, duration, move |client, _| {
        let connections = std::sync::Arc::clone(&connections);
        async move {
            let record = rand::rng().random_range(0..RECORDS);
            let request = Request::new(format!("SELECT * FROM person:{record}"));
            connections[usize::try_from(client)?].query(&request).await.done().map(drop)
        }
    })
    .await
}

fn cpu_of(usage: &Usage, prefixes: &[&str]) -> Duration {
    let counted = |name: &String| prefixes.iter().any(|prefix| name.starts_with(prefix));
    usage.by_process.iter().filter(|(name, _)| counted(name)).map(|(_, used)| *used).sum()
}

fn own_cpu_time() -> Duration {
    cpu_time(std::process::id()).unwrap_or_default()
}
