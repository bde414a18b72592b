//! The table, for people.

use super::Row;
use super::row::{compare, ratio_to_one_client, update_ratio_to_floor};

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
        "{:<30}{:>8}{:>10}{:>9}{:>9}{:>9}{:>11}{:>13}{:>12}{:>10}",
        "case", "clients", "ops/s", "x plain", "p50 ms", "p99 ms", "CPU us/op", "CPU x plain", "load us/op", "log B/op"
    );
    for row in rows.iter().filter(|row| !row.is_hot()) {
        println!(
            "{:<30}{:>8}{:>10.0}{:>9}{:>9.2}{:>9.2}{:>11.0}{:>13}{:>12}{:>10.0}",
            row.case,
            row.clients,
            row.ops_per_s,
            or_dash(row.ratio_to_plain, 2),
            row.p50_ms,
            row.p99_ms,
            row.cpu_us_per_op,
            or_dash(row.cpu_ratio_to_plain, 2),
            or_dash(row.load_cpu_us_per_op, 0),
            row.log_bytes_per_op
        );
    }
    if let Some(ratio) = update_ratio_to_floor(&rows) {
        println!(
            "one client's update, end to end, takes {ratio:.2}x of (plain + one JetStream publish), by their medians"
        );
    }
    print_hot(&rows);
    println!("CPU is of all processes of the system; the load generator's own is listed beside it");
    Ok(())
}

/// Records that all clients change: what counts is that more clients do not reach less, and how evenly they are served. Clients
/// of plain SurrealDB send again what lost.
fn print_hot(rows: &[Row]) {
    println!(
        "{:<30}{:>8}{:>10}{:>9}{:>14}{:>9}{:>9}{:>12}{:>11}{:>10}",
        "hot records",
        "clients",
        "ops/s",
        "x plain",
        "x one client",
        "mean ms",
        "p99 ms",
        "longest ms",
        "CPU us/op",
        "log B/op"
    );
    for row in rows.iter().filter(|row| row.is_hot()) {
        println!(
            "{:<30}{:>8}{:>10.0}{:>9}{:>14}{:>9.2}{:>9.2}{:>12.2}{:>11.0}{:>10.0}",
            row.case,
            row.clients,
            row.ops_per_s,
            or_dash(row.ratio_to_plain, 2),
            or_dash(ratio_to_one_client(rows, row), 2),
            row.mean_ms,
            row.p99_ms,
            row.longest_ms,
            row.cpu_us_per_op,
            row.log_bytes_per_op
        );
    }
}

fn or_dash(number: Option<f64>, decimals: usize) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.decimals$}"))
}
