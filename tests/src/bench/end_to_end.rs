//! The whole system: clients over NATS, execution, CSPs, log, and back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rand::RngExt;

use super::Row;
use super::measure::{Measured, measure};
use crate::client::{Client, Request};
use crate::scenario::create_many;
use crate::system::{Options, System, cpu_time};

/// Records that updates and reads are spread over.
pub(super) const RECORDS: u64 = 10_000;
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
pub(super) const SCHEMA: &str = "DEFINE TABLE person; DEFINE TABLE made; DEFINE INDEX made_name ON made FIELDS name; \
    DEFINE TABLE counter; UPSERT counter:hot SET number = 0; \
    DEFINE TABLE seen; DEFINE TABLE seen_count AS SELECT count() AS number FROM seen GROUP ALL";

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Create,
    Update,
    Read,
    /// One record that all clients change.
    HotCounter,
    /// A view of one row, which every record that is made changes.
    HotView,
}

/// End to end measurements.
#[derive(Clone, Debug)]
pub struct EndToEnd {
    /// What is measured.
    pub options: Options,
    /// Time for each case.
    pub duration: Duration,
    /// Clients at once, one case each.
    pub clients: Vec<u64>,
    /// The same for hot records.
    pub hot_clients: Vec<u64>,
    /// Whether hot records alone are measured.
    pub only_hot: bool,
}

impl EndToEnd {
    /// Measures creates, updates and reads, hot records, and the reference publish. A request that fails ends it.
    pub async fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        System::run(self.options.clone(), async |system| {
            system.client().commit(Request::new(SCHEMA), PATIENCE).await?;
            if !self.only_hot {
                rows.push(super::publish_row(&system, self.duration / 2).await?);
                create_many(&system.client(), "person", usize::try_from(RECORDS)?).await?;
                let operations = [Operation::Create, Operation::Update, Operation::Read];
                rows.extend(self.cases(&system, &operations, &self.clients).await?);
            }
            rows.extend(self.cases(&system, &[Operation::HotCounter, Operation::HotView], &self.hot_clients).await?);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    async fn cases(&self, system: &System, operations: &[Operation], clients: &[u64]) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for &operation in operations {
            for &clients in clients {
                let row = self.row(system, operation, clients).await;
                rows.push(row.with_context(|| format!("{operation:?} with {clients} clients"))?);
            }
        }
        Ok(rows)
    }

    async fn row(&self, system: &System, operation: Operation, clients: u64) -> anyhow::Result<Row> {
        let connections = connect(system, clients).await?;
        // A short run first, so that caches and routing tables are as they are in the middle of a day.
        run(&connections, operation, self.duration / 8).await?;
        let (usage, load, log) = (system.usage(), own_cpu_time(), system.log_state().await?);
        let measured = run(&connections, operation, self.duration).await?;
        let cpu = system.usage().since(&usage).total();
        let load = own_cpu_time().saturating_sub(load);
        let log_bytes = system.log_state().await?.bytes.saturating_sub(log.bytes);
        Ok(Row {
            case: format!("end to end {}", operation.name()),
            clients,
            ops_per_s: measured.per_second(),
            p50_ms: measured.at_ms(0.5),
            p99_ms: measured.at_ms(0.99),
            mean_ms: measured.mean_ms(),
            longest_ms: measured.at_ms(1.0),
            cpu_us_per_op: measured.per_operation(cpu.as_micros() as f64),
            log_bytes_per_op: measured.per_operation(log_bytes as f64),
            load_cpu_us_per_op: Some(measured.per_operation(load.as_micros() as f64)),
            ratio_to_plain: None,
            cpu_ratio_to_plain: None,
        })
    }
}

/// Clients, each with a connection of its own.
pub(super) async fn connect(system: &System, clients: u64) -> anyhow::Result<Arc<[Client]>> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(system.new_client().await?);
    }
    Ok(connections.into())
}

/// All clients do the same again and again, until the time is over.
pub(super) async fn run(
    connections: &Arc<[Client]>,
    operation: Operation,
    duration: Duration,
) -> anyhow::Result<Measured> {
    let connections = Arc::clone(connections);
    measure(connections.len() as u64, duration, move |client, number| {
        let connections = Arc::clone(&connections);
        async move { operation.perform(&connections[usize::try_from(client)?], client, number).await }
    })
    .await
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Read => "read",
            Self::HotCounter => "hot counter",
            Self::HotView => "hot view",
        }
    }

    async fn perform(self, client: &Client, from: u64, number: u64) -> anyhow::Result<()> {
        let record = rand::rng().random_range(0..RECORDS);
        let outcome = match self {
            Self::Create => {
                let sql = "CREATE made SET name = $name, from = $from, text = $text RETURN NONE";
                let text = "a record of about one hundred and fifty bytes, as people have them in their tables";
                let name = format!("person {from} {number}");
                client.update(&Request::new(sql).var("name", name).var("from", from).var("text", text)).await
            }
            Self::Update => {
                let sql = format!("UPDATE person:{record} SET number = $number RETURN NONE");
                client.update(&Request::new(sql).var("number", number)).await
            }
            Self::Read => client.query(&Request::new(format!("SELECT * FROM person:{record}"))).await,
            Self::HotCounter => client.update(&Request::new("UPDATE counter:hot SET number += 1 RETURN NONE")).await,
            Self::HotView => {
                client.update(&Request::new("CREATE seen SET from = $from RETURN NONE").var("from", from)).await
            }
        };
        outcome.done().map(|_| ())
    }
}

fn own_cpu_time() -> Duration {
    cpu_time(std::process::id()).unwrap_or_default()
}
