//! A CSP that was away while much happened, and one that starts empty: both catch up by themselves before they serve.

use std::time::Duration;

use tokio::time::Instant;

use super::create_many;
use crate::client::Request;
use crate::system::System;

/// A CSP that misses some transactions.
#[derive(Clone, Copy, Debug)]
pub struct Away {
    /// How many it misses.
    pub transactions: usize,
    /// How long it may take to catch up.
    pub bound: Duration,
}

impl Away {
    /// Keeps `csp` down while the others work, optionally without its copy, and demands that it catches up.
    pub async fn run(self, system: &System, csp: &str, empty: bool) -> anyhow::Result<()> {
        system.kill9(csp);
        if empty {
            system.remove_copy(csp)?;
        }
        let client = system.client();
        let table = if empty { "missed_empty" } else { "missed" };
        client.commit(Request::new(format!("DEFINE TABLE {table}")), self.bound).await?;
        let before = system.log_state().await?.last_sequence;
        let position = create_many(&client, table, self.transactions).await?;
        let entries = position - before;
        let began = Instant::now();
        system.start_process(csp)?;
        let what = format!("{csp} to be available with everything up to {position}");
        system
            .until_within(&what, self.bound, |status| status.available(csp) && status.applied(csp) >= position)
            .await?;
        let took = began.elapsed();
        eprintln!("{csp} started and caught up {} transactions in {entries} entries in {took:.1?}", self.transactions);
        let count = format!("SELECT VALUE count FROM (SELECT count() FROM {table} GROUP ALL)");
        let answer = system.equal_answers(&system.csps(), &count, position).await?;
        anyhow::ensure!(answer[0][0].as_u64() == Some(self.transactions as u64), "{answer:?}");
        system.equal_digests(&system.csps()).await?;
        Ok(())
    }
}
