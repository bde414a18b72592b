//! Clients that take turns under one explicit lock. Some keep it too long or never give it back. Whatever breaks meanwhile, work
//! under a later acquisition never comes before work under an earlier one, and none is lost or doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::broken_promise::BrokenPromise;
use crate::client::{Client, Outcome, Request};

/// The lock that all of them want.
const LOCK: &str = "turns";
const LEASE: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_millis(1_200);
/// How long a client tries to learn what became of a request.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients at work.
#[derive(Debug)]
pub struct Turns {
    client: Client,
    ended: Arc<AtomicBool>,
    clients: Vec<JoinHandle<anyhow::Result<Written>>>,
}

/// The number that an update under the lock gave, and the token it bore.
type Written = Vec<(u64, u64)>;

impl Turns {
    /// Starts so many clients.
    pub async fn start(client: Client, seed: u64, count: u64) -> anyhow::Result<Self> {
        let define = "DEFINE TABLE IF NOT EXISTS turn; UPSERT turn:one SET number = 0, token = 0 RETURN NONE";
        client.commit(Request::new(define), PATIENCE).await?;
        let ended = Arc::new(AtomicBool::new(false));
        let clients = (0..count)
            .map(|number| {
                let random = StdRng::seed_from_u64(seed ^ (number << 40));
                tokio::spawn(work(client.clone(), random, Arc::clone(&ended)))
            })
            .collect();
        Ok(Self { client, ended, clients })
    }

    /// Lets the clients finish, and demands that every number was given once, under tokens that never went back.
    pub async fn finish(self) -> anyhow::Result<()> {
        self.ended.store(true, Ordering::Relaxed);
        let mut written = BTreeMap::new();
        for client in self.clients {
            for (number, token) in client.await?? {
                let other = written.insert(number, token);
                let twice = || BrokenPromise(format!("{number} was given under {token} and under {other:?}"));
                anyhow::ensure!(other.is_none(), twice());
            }
        }
        let total = written.len() as u64;
        let missing = || BrokenPromise(format!("numbers are missing: {:?}", written.keys()));
        anyhow::ensure!(written.keys().copied().eq(1..=total), missing());
        let tokens: Vec<u64> = written.into_values().collect();
        if let Some(back) = tokens.windows(2).position(|pair| pair[0] > pair[1]) {
            let (number, before, after) = (back + 1, tokens[back], tokens[back + 1]);
            anyhow::bail!(BrokenPromise(format!(
                "number {number} was given under {before}, the next one under {after}"
            )));
        }
        let read = Request::new("SELECT VALUE number FROM turn:one").strong();
        let reply = self.client.read(&read, PATIENCE).await.done()?;
        let there = reply.results[0][0].as_u64();
        anyhow::ensure!(there == Some(total), BrokenPromise(format!("{total} were given, there is {there:?}")));
        let mut turns = tokens;
        turns.dedup();
        eprintln!("{total} updates in {} turns", turns.len());
        Ok(())
    }
}

async fn work(client: Client, mut random: StdRng, ended: Arc<AtomicBool>) -> anyhow::Result<Written> {
    let mut written = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let Some(token) = client.acquire(LOCK, LEASE, DEADLINE, PATIENCE).await? else { continue };
        for _ in 0..random.random_range(1..=3) {
            let sql = "UPDATE turn:one SET number += 1, token = $turn RETURN VALUE number";
            let lock = serde_json::json!([{ "name": LOCK, "token": token }]);
            let request = Request::new(sql).var("turn", token).with("locks", lock).deadline(DEADLINE);
            match client.settle(&request, PATIENCE).await {
                Outcome::Done(reply) => {
                    let number = reply.results[0][0].as_u64();
                    written.push((number.ok_or_else(|| anyhow::anyhow!("an update gave {:?}", reply.results))?, token));
                }
                // It was kept for too long.
                Outcome::Refused(refusal) if refusal.code == "lock_lost" => break,
                Outcome::Refused(refusal) if refusal.retryable || refusal.is_suspected() => {}
                other => anyhow::bail!("under the token {token}: {other}"),
            }
            if random.random_range(0..8) == 0 {
                sleep(LEASE + LEASE / 4).await;
            }
        }
        if random.random_range(0..6) > 0 {
            let _ = client.release(LOCK, token, DEADLINE).await;
        }
    }
    Ok(written)
}
