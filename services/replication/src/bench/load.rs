//! Clients that do one thing after another, for a time.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use holdfast_datastore::{Database, StatementError};
use tokio::time::Instant;

use super::Operation;
use crate::BoxError;

fn is_conflict(error: &StatementError) -> bool {
    matches!(error, StatementError::Conflict(_))
}

/// What clients measured.
pub(crate) struct Measured {
    /// How long it ran.
    pub took: Duration,
    /// Latencies in microseconds.
    pub latencies_us: Histogram<u64>,
}

/// Runs `operation` from every client until the time is over.
pub(crate) async fn run(
    database: &Arc<Database>,
    operation: Operation,
    clients: u64,
    duration: Duration,
) -> Result<Measured, BoxError> {
    let began = Instant::now();
    let end = began + duration;
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let database = Arc::clone(database);
            tokio::spawn(async move {
                let mut latencies_us = Histogram::<u64>::new(3)?;
                // Different at every call: a name is taken once only.
                let mut number = began.elapsed().as_nanos() as u64;
                while Instant::now() < end {
                    let sent = Instant::now();
                    let sql = operation.sql(client, number);
                    // Two clients may meet at one record. The loser runs again, as every client of SurrealDB has to.
                    while let Err(error) = database.execute_plain("bench", "bench", sql.clone()).await {
                        if !is_conflict(&error) {
                            return Err(error.into());
                        }
                    }
                    latencies_us.record(sent.elapsed().as_micros() as u64)?;
                    number += 1;
                }
                Ok::<_, BoxError>(latencies_us)
            })
        })
        .collect();
    let mut latencies_us = Histogram::<u64>::new(3)?;
    for task in tasks {
        latencies_us.add(task.await??)?;
    }
    Ok(Measured { took: began.elapsed(), latencies_us })
}
