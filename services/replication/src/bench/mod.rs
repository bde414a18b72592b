//! The engine's bench: plain embedded SurrealDB beside three copies on one log, in one process and one run.
//!
//! Both are driven through the same call, so that what differs is the engine below: a commit of SurrealDB's own, or a place
//! in the log and three copies that apply it. It prints one JSON line for each case.

mod group;
mod load;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holdfast_datastore::Database;
use serde::Serialize;

pub use group::Group;
pub use server::Server;

use crate::BoxError;

/// Records that updates and reads are spread over.
pub(crate) const RECORDS: u64 = 10_000;
const SCHEMA: &str = "DEFINE TABLE person; DEFINE TABLE made; DEFINE INDEX made_name ON made FIELDS name; \
    DEFINE TABLE counter; UPSERT counter:hot SET number = 0; \
    DEFINE TABLE seen; DEFINE TABLE seen_count AS SELECT count() AS number FROM seen GROUP ALL";
/// Clients at once, one case each.
const CLIENTS: [u64; 2] = [1, 32];
/// The same for hot records, which plain SurrealDB alone is measured with here: lining up is the service's.
const HOT_CLIENTS: [u64; 3] = [1, 32, 256];

/// One case.
#[derive(Debug, Serialize)]
struct Row {
    case: String,
    clients: u64,
    ops_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    mean_ms: f64,
    longest_ms: f64,
    cpu_us_per_op: f64,
    log_bytes_per_op: f64,
}

/// What clients do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    /// A record in a table with an index.
    Create,
    /// A field of one of many records.
    Update,
    /// One record by its id.
    Read,
    /// A field of the same record, whoever does it.
    HotCounter,
    /// A record in a table with a view of one row.
    HotView,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Read];
    const HOT: [Self; 2] = [Self::HotCounter, Self::HotView];

    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Read => "read",
            Self::HotCounter => "hot counter",
            Self::HotView => "hot view",
        }
    }

    /// The statement of a client's `number`th operation.
    pub(crate) fn sql(self, client: u64, number: u64) -> String {
        let record = xxhash_rust::xxh3::xxh3_64_with_seed(&number.to_le_bytes(), client) % RECORDS;
        match self {
            Self::Create => format!(
                "CREATE made SET name = 'person {client} {number}', from = {client}, text = 'a record of about one hundred \
                 and fifty bytes, as people have them in their tables' RETURN NONE"
            ),
            Self::Update => format!("UPDATE person:{record} SET number = {number} RETURN NONE"),
            Self::Read => format!("SELECT * FROM person:{record}"),
            Self::HotCounter => "UPDATE counter:hot SET number += 1 RETURN NONE".to_owned(),
            Self::HotView => format!("CREATE seen SET from = {client} RETURN NONE"),
        }
    }
}

/// Measures both variants and prints a line for each case.
///
/// # Errors
/// When something cannot be started, or an operation fails.
pub async fn run(folder: &Path, server: &Server, seconds: u64) -> Result<(), BoxError> {
    let duration = Duration::from_secs(seconds);
    // SurrealKV flushes to disk at every commit unless told otherwise, and JetStream does so every two minutes. Without the
    // flush plain SurrealDB is faster, and as durable as what it is compared with.
    let plain = Database::open_plain(format!("surrealkv://{}?sync=never", folder.join("plain").display())).await?;
    prepare(&plain).await?;
    let group = Group::start(folder, server).await?;
    prepare(group.database()).await?;
    for operation in Operation::ALL {
        for clients in CLIENTS {
            // Side by side, so that a noisy moment of the machine meets both.
            case("plain", &plain, None, operation, clients, duration, server).await?;
            case("three copies", group.database(), Some(&group), operation, clients, duration, server).await?;
        }
    }
    for operation in Operation::HOT {
        for clients in HOT_CLIENTS {
            case("plain", &plain, None, operation, clients, duration, server).await?;
        }
    }
    group.check_equal().await?;
    plain.shutdown().await;
    Ok(())
}

async fn prepare(database: &Arc<Database>) -> Result<(), BoxError> {
    database.initialise("bench".to_owned(), "bench".to_owned()).await?;
    database.execute_plain("bench", "bench", SCHEMA.to_owned()).await?;
    for from in (0..RECORDS).step_by(500) {
        let sql = format!(
            "FOR $i IN {from}..{} {{ CREATE type::record('person', $i) SET number = 0, name = 'somebody' }}",
            from + 500
        );
        database.execute_plain("bench", "bench", sql).await?;
    }
    Ok(())
}

async fn case(
    variant: &str,
    database: &Arc<Database>,
    group: Option<&Group>,
    operation: Operation,
    clients: u64,
    duration: Duration,
    server: &Server,
) -> Result<(), BoxError> {
    load::run(database, operation, clients, duration / 8).await?;
    let (cpu, bytes) = (server.cpu_with_this_process()?, group.map_or(0, Group::log_bytes));
    let measured = load::run(database, operation, clients, duration).await?;
    let cpu = server.cpu_with_this_process()?.saturating_sub(cpu);
    let bytes = group.map_or(0, Group::log_bytes) - bytes;
    let operations = measured.latencies_us.len().max(1) as f64;
    let row = Row {
        case: format!("{variant} {}", operation.name()),
        clients,
        ops_per_s: operations / measured.took.as_secs_f64(),
        p50_ms: measured.latencies_us.value_at_quantile(0.5) as f64 / 1e3,
        p99_ms: measured.latencies_us.value_at_quantile(0.99) as f64 / 1e3,
        mean_ms: measured.latencies_us.mean() / 1e3,
        longest_ms: measured.latencies_us.max() as f64 / 1e3,
        cpu_us_per_op: cpu.as_micros() as f64 / operations,
        log_bytes_per_op: bytes as f64 / operations,
    };
    println!("{}", serde_json::to_string(&row)?);
    Ok(())
}
