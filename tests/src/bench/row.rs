//! One line of the bench's result, as it is printed and as it goes over from the engine's bench.

use serde::{Deserialize, Serialize};

/// What one case with so many clients gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What was measured, `<variant> <operation>`: "plain create".
    pub case: String,
    /// Clients at once.
    pub clients: u64,
    /// Operations per second.
    pub ops_per_s: f64,
    /// Median latency.
    pub p50_ms: f64,
    /// Latency that one in a hundred exceeds.
    pub p99_ms: f64,
    /// Mean latency.
    #[serde(default)]
    pub mean_ms: f64,
    /// Longest latency.
    #[serde(default)]
    pub longest_ms: f64,
    /// CPU time per operation over all processes of the system, without the load generator.
    pub cpu_us_per_op: f64,
    /// Bytes in the log per operation.
    #[serde(default)]
    pub log_bytes_per_op: f64,
    /// CPU time of the load generator per operation, where it is a process of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_cpu_us_per_op: Option<f64>,
    /// Throughput as a part of plain embedded in the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_to_plain: Option<f64>,
    /// CPU time per operation as a multiple of plain embedded in the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ratio_to_plain: Option<f64>,
}

impl Row {
    /// `create`, `update` or `read`: the last word of the case, whatever separates it.
    pub fn operation(&self) -> &str {
        self.case.rsplit([' ', '/', '-', '_', ':']).next().unwrap_or_default().trim_end_matches('s')
    }

    /// Whether all clients change one and the same record.
    pub fn is_hot(&self) -> bool {
        self.case.contains(" hot ")
    }

    /// Whether this is plain embedded SurrealDB.
    pub fn is_plain(&self) -> bool {
        self.case.starts_with("plain")
    }
}

/// Fills in every row's ratio to the plain row of the same operation and number of clients.
pub fn compare(rows: &mut [Row]) {
    let plain: Vec<Row> = rows.iter().filter(|row| row.is_plain()).cloned().collect();
    for row in rows.iter_mut().filter(|row| !row.is_plain()) {
        let same = |other: &&Row| other.operation() == row.operation() && other.clients == row.clients;
        let plain = plain.iter().find(same);
        row.ratio_to_plain = plain.map(|plain| row.ops_per_s / plain.ops_per_s);
        row.cpu_ratio_to_plain = plain.map(|plain| row.cpu_us_per_op / plain.cpu_us_per_op);
    }
}

/// Throughput as a part of what one client reaches with the same.
pub fn ratio_to_one_client(rows: &[Row], row: &Row) -> Option<f64> {
    let one = rows.iter().find(|other| other.case == row.case && other.clients == 1)?;
    Some(row.ops_per_s / one.ops_per_s)
}

/// One client's update, end to end, as a multiple of plain embedded plus one JetStream publish: what it cannot go below.
pub fn update_ratio_to_floor(rows: &[Row]) -> Option<f64> {
    let p50 =
        |wanted: &dyn Fn(&Row) -> bool| rows.iter().find(|row| row.clients == 1 && wanted(row)).map(|row| row.p50_ms);
    let plain = p50(&|row| row.is_plain() && row.operation() == "update")?;
    let publish = p50(&|row| row.operation() == "publish")?;
    let update = p50(&|row| row.case.starts_with("end to end") && row.operation() == "update")?;
    Some(update / (plain + publish))
}
