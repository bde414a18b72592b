//! Runs an operation from many clients for a time, and measures it.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// What clients measured.
pub struct Measured {
    /// How long it ran.
    pub took: Duration,
    /// Latencies in microseconds.
    pub latencies_us: Histogram<u64>,
}

impl Measured {
    /// Operations per second.
    pub fn per_second(&self) -> f64 {
        self.latencies_us.len() as f64 / self.took.as_secs_f64()
    }

    /// A latency in milliseconds at a quantile.
    pub fn at_ms(&self, quantile: f64) -> f64 {
        self.latencies_us.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// The mean latency in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.latencies_us.mean() / 1_000.0
    }

    /// Something that was used by all operations together, per operation.
    pub fn per_operation(&self, total: f64) -> f64 {
        total / self.latencies_us.len().max(1) as f64
    }
}

/// Calls `operation(client, number)` from every client, one after the other, until the time is over.
pub async fn measure<F>(
    clients: u64,
    duration: Duration,
    operation: impl Fn(u64, u64) -> F + Clone + Send + Sync + 'static,
) -> anyhow::Result<Measured>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let began = Instant::now();
    let end = began + duration;
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let operation = operation.clone();
            tokio::spawn(async move {
                let mut latencies_us = Histogram::<u64>::new(3)?;
                let mut number = 0;
                while Instant::now() < end {
                    let sent = Instant::now();
                    operation(client, number).await?;
                    latencies_us.record(u64::try_from(sent.elapsed().as_micros())?)?;
                    number += 1;
                }
                anyhow::Ok(latencies_us)
            })
        })
        .collect();
    let mut latencies_us = Histogram::<u64>::new(3)?;
    for task in tasks {
        latencies_us.add(task.await??)?;
    }
    Ok(Measured { took: began.elapsed(), latencies_us })
}
