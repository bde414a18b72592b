//! kill -9 of random processes under load, and a SIGSTOP now and then, while clients write down what they are told.
//!
//! The schedule is drawn from a seed and counted in acknowledged updates, not in seconds, so that every kill meets a
//! group at work, and a group that stops working for good is found by itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::progress;
use crate::history::{Recorder, Summary};
use crate::system::System;

/// The group must acknowledge something within this time, whatever was killed before.
const PROGRESS_BOUND: Duration = Duration::from_secs(60);
/// A process that is left down is started again after this time at the latest.
const DOWN_BOUND: Duration = Duration::from_millis(700);

/// A run of kills.
#[derive(Clone, Copy, Debug)]
pub struct Kills {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How many processes are killed.
    pub kills: usize,
    /// Clients at work.
    pub clients: usize,
    /// Lists and counters that they work on.
    pub keys: usize,
}

impl Kills {
    /// Kills and restarts, then demands that the history is right and all copies are equal.
    pub async fn run(self, system: &System) -> anyhow::Result<Summary> {
        self.break_and_check(system).await.with_context(|| format!("{self:?}"))
    }

    async fn break_and_check(self, system: &System) -> anyhow::Result<Summary> {
        let began = Instant::now();
        let recorder = Recorder::begin(system.client(), self.keys).await?;
        let clients = recorder.clients(self.seed, self.clients);
        let outcome = self.kill_all(system, &recorder).await;
        recorder.end();
        for client in clients {
            client.await??;
        }
        outcome?;
        system.heal().await?;
        let summary = recorder.finish().await?;
        let digest = system.equal_digests(&system.csps()).await?;
        let took = began.elapsed();
        eprintln!("seed {}: {} kills in {took:.1?}; {summary:?}; {digest:?}", self.seed, self.kills);
        anyhow::ensure!(summary.unknown_present + summary.unknown_unseen == 0, "unsettled requests: {summary:?}");
        Ok(summary)
    }

    async fn kill_all(self, system: &System, recorder: &Arc<Recorder>) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut killed = 0;
        while killed < self.kills {
            let victims = choose(&mut random, &system.names());
            let next = format!("killing {victims:?}");
            progress(recorder, random.random_range(1..25), PROGRESS_BOUND, &next).await?;
            if random.random_range(0..8) == 0 {
                freeze(system, recorder, &victims, random.random_range(1..100)).await?;
                continue;
            }
            victims.iter().for_each(|victim| system.kill9(victim));
            killed += victims.len();
            if random.random_range(0..3) > 0 {
                // Left down for a while; whether the rest goes on without it depends on what it is.
                let _ = progress(recorder, random.random_range(1..50), DOWN_BOUND, "they start again").await;
            }
            for victim in &victims {
                system.start_process(victim)?;
            }
            let csps: Vec<String> = victims.into_iter().filter(|name| name.starts_with("csp-")).collect();
            if random.random_range(0..2) == 0 {
                system.until_available(&csps).await?;
            }
        }
        progress(recorder, 1, PROGRESS_BOUND, "the end").await
    }
}

/// Stops processes in the middle of what they do, and lets them go on: what they believed may be long out of date.
async fn freeze(system: &System, recorder: &Recorder, victims: &[String], count: u64) -> anyhow::Result<()> {
    for victim in victims {
        system.pause(victim)?;
    }
    let _ = progress(recorder, count, DOWN_BOUND, "they go on").await;
    for victim in victims {
        system.resume(victim)?;
    }
    Ok(())
}

/// Mostly one process, mostly a CSP; sometimes several at once, as when a machine loses power.
fn choose(random: &mut StdRng, names: &[String]) -> Vec<String> {
    let of = |prefixes: &[&str]| -> Vec<String> {
        names.iter().filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix))).cloned().collect()
    };
    let draw = random.random_range(0..100);
    let mut one = |candidates: Vec<String>| vec![candidates[random.random_range(0..candidates.len())].clone()];
    match draw {
        0..62 => one(of(&["csp-"])),
        62..78 => one(of(&["execution-"])),
        78..88 => one(of(&["nats-"])),
        88..94 => one(of(&["administration-", "supervision-"])),
        94..98 => of(&["csp-"]),
        _ => names.to_vec(),
    }
}
