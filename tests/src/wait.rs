//! Waiting for a condition, within a bound, and never for a time: on time-out the last state seen is told.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Asks `probe` again and again until it gives a value. `Err` is the state seen, told when the bound is over.
pub async fn until<T, E: Display>(
    what: &str,
    bound: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let end = Instant::now() + bound;
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(state) if Instant::now() >= end => {
                anyhow::bail!("waited {bound:?} for: {what}; last state: {state}")
            }
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}
