//! The table, for people.

use super::Row;
use super::row::compare;

/// Prints all rows, as a table or as JSON lines.
pub fn print_table(mut rows: Vec<Row>, json: bool) -> anyhow::Result<()> {
    compare(&mut rows);
    if json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
        return Ok(());
    }
    println!(
        "{:<34}{:>8}{:>11}{:>10}{:>10}{:>10}{:>12}{:>12}{:>12}",
        "case", "clients", "ops/s", "x plain", "p50 ms", "p99 ms", "CPU us/op", "load us/op", "log B/op"
    );
    for row in &rows {
        let ratio = row.ratio_to_plain.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"));
        let load = row.load_cpu_us_per_op.map_or_else(|| "-".into(), |load| format!("{load:.0}"));
        println!(
            "{:<34}{:>8}{:>11.0}{:>10}{:>10.2}{:>10.2}{:>12.0}{:>12}{:>12.0}",
            row.case, row.clients, row.ops_per_s, ratio, row.p50_ms, row.p99_ms, row.cpu_us_per_op, load, row.log_bytes_per_op
        );
    }
    Ok(())
}
