//! The table, for people.

use super::{FailoverRow, Limits};

/// Prints all rows, as a table or as JSON lines.
pub fn print_failover(rows: &[FailoverRow], json: bool) -> anyhow::Result<()> {
    if json {
        for row in rows {
            println!("{}", serde_json::to_string(row)?);
        }
        return Ok(());
    }
    println!(
        "{:<32}{:>5}{:>9}{:>9}{:>9}{:>11}{:>9}{:>9}{:>9}{:>6}{:>7}  limits",
        "fault", "runs", "p50 ms", "p99 ms", "max ms", "query max", "updates", "queries", "done", "lost", "twice"
    );
    println!("{:<32}{:>5}{:>27}{:>11}{:>18}", "", "", "pause of the updates", "ms", "failed");
    for row in rows {
        println!(
            "{:<32}{:>5}{:>9.0}{:>9.0}{:>9.0}{:>11.0}{:>9}{:>9}{:>9}{:>6}{:>7}  {}",
            row.title,
            row.runs,
            row.p50_ms,
            row.p99_ms,
            row.max_ms,
            row.query_max_ms,
            row.failed_updates,
            row.failed_queries,
            row.account.acknowledged,
            row.account.lost,
            row.account.doubled,
            verdict(row)
        );
    }
    for row in rows {
        if let Some(failure) = &row.failure {
            println!("one failure of {}: {failure}", row.title);
        }
    }
    println!(
        "a pause is the longest time between two answers around the fault; in every case all copies were equal at the end"
    );
    Ok(())
}

fn verdict(row: &FailoverRow) -> String {
    let limits = told(&row.limits);
    match (limits.is_empty(), row.met) {
        (true, true) => "nothing lost: met".to_owned(),
        (true, false) => "nothing lost: MISSED".to_owned(),
        (false, true) => format!("{limits}: met"),
        (false, false) => format!("{limits}: MISSED"),
    }
}

fn told(limits: &Limits) -> String {
    let named = [
        ("p50", limits.p50_ms),
        ("p99", limits.p99_ms),
        ("max", limits.max_ms),
        ("query max", limits.query_max_ms),
        ("failed queries", limits.failed_queries),
    ];
    let told: Vec<String> =
        named.into_iter().filter_map(|(name, limit)| limit.map(|limit| format!("{name} {limit}"))).collect();
    told.join(", ")
}
