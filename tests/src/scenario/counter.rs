//! Many clients that increment one record: nothing lost, nothing doubled.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::client::{Client, Request};

const PATIENCE: Duration = Duration::from_secs(120);

/// Clients that each increment the same record.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// How many clients.
    pub clients: u64,
    /// Increments by each.
    pub increments: u64,
}

impl Counter {
    /// Increments, and demands that every value from 1 to the total was handed out exactly once.
    pub async fn run(self, client: &Client) -> anyhow::Result<()> {
        let setup = "DEFINE TABLE IF NOT EXISTS counter; UPSERT counter:one SET number = 0";
        client.commit(Request::new(setup), PATIENCE).await?;
        let tasks: Vec<_> =
            (0..self.clients).map(|_| tokio::spawn(increment(client.clone(), self.increments))).collect();
        let mut seen = BTreeSet::new();
        for task in tasks {
            for number in task.await?? {
                anyhow::ensure!(seen.insert(number), "{number} was handed out twice");
            }
        }
        let total = self.clients * self.increments;
        let request = Request::new("SELECT VALUE number FROM counter:one").strong();
        let reply = client.read(&request, PATIENCE).await.done()?;
        anyhow::ensure!(reply.results[0][0].as_u64() == Some(total), "{total} increments gave {:?}", reply.results);
        anyhow::ensure!(seen == (1..=total).collect(), "{} of {total} numbers were handed out", seen.len());
        Ok(())
    }
}

async fn increment(client: Client, times: u64) -> anyhow::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for _ in 0..times {
        let request = Request::new("UPDATE counter:one SET number += 1 RETURN VALUE number");
        let reply = client.commit(request.deadline(Duration::from_secs(20)), PATIENCE).await?;
        let number = reply.results[0][0].as_u64();
        numbers.push(number.ok_or_else(|| anyhow::anyhow!("an increment returned {:?}", reply.results))?);
    }
    Ok(numbers)
}
