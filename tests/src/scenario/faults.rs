//! Everything that can go wrong, one or several at once, while clients write down what they are told: two phases, again and
//! again. First things break, and nothing that is said may be wrong; then all is healed, and the group must become whole.

use std::time::Duration;

use anyhow::Context;
use futures::future::{pending, select_all};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::plan::{Episode, Fault, Kind, Targets, draw};
use super::{Turns, progress};
use crate::history::{Recorder, Summary, Surroundings};
use crate::system::System;

/// A whole group must acknowledge something within this time.
const PROGRESS_BOUND: Duration = Duration::from_secs(60);

/// All copies but one, for some of the queries; the other one helps out.
const POOL: &str = "readers";
/// Clients that take turns under a lock, besides the others.
const TURN_TAKERS: u64 = 3;

/// A run of faults.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How often things break and are healed.
    pub episodes: usize,
    /// How long each time lasts at most.
    pub lasts_max: Duration,
    /// Clients at work.
    pub clients: usize,
    /// Lists, counters, names and so on that they work on.
    pub keys: usize,
    /// Whether it begins with a copy that applies nothing: a fault that some broken promises need to show.
    pub begins_held: bool,
}

impl Faults {
    /// Breaks and heals, then demands that the history is right, all copies are equal, and nothing died by itself.
    pub async fn run(self, system: &System) -> anyhow::Result<Summary> {
        let options = system.options();
        let targets = Targets {
            names: system.names(),
            networks: options.proxied,
            disks: options.own_disks,
            clocks: options.own_clocks,
            holds: options.holds_apply,
            machines: (1..=options.csps).map(|number| system.machine(number)).collect(),
        };
        let mut plan = draw(self.seed, self.episodes, self.lasts_max, &targets);
        if self.begins_held {
            plan.insert(0, Episode::held("csp-3", self.lasts_max));
        }
        let mut done = 0;
        self.carry_out(system, &plan, &mut done).await.with_context(|| {
            let told: Vec<String> = plan.iter().take(done + 1).map(Episode::to_string).collect();
            format!("{self:?}, in episode {} of this plan:\n{}", done + 1, told.join("\n"))
        })
    }

    async fn carry_out(self, system: &System, plan: &[Episode], done: &mut usize) -> anyhow::Result<Summary> {
        let began = Instant::now();
        let pool = json!({ "name": POOL, "csps": system.csps().split_off(1), "overflow": true });
        system.define_group(&json!({ "pools": [pool] })).await?;
        let recorder =
            Recorder::begin_in(system.client(), self.keys, Surroundings { pool: Some(POOL), csps: system.csps() })
                .await?;
        let clients = recorder.clients(self.seed, self.clients);
        let turns = Turns::start(system.new_client().await?, self.seed, TURN_TAKERS).await?;
        let outcome = async {
            for (at, episode) in plan.iter().enumerate() {
                *done = at;
                eprintln!("episode {}: {episode}", at + 1);
                progress(&recorder, episode.updates_before, PROGRESS_BOUND, &episode.to_string()).await?;
                let begins = Instant::now();
                episode.happen(system).await?;
                system.heal().await?;
                recorder.demand(begins, episode.pause_max(system.options().nats_servers));
            }
            progress(&recorder, 1, PROGRESS_BOUND, "the end").await
        }
        .await;
        recorder.end();
        for client in clients {
            client.await??;
        }
        let turns = turns.finish().await;
        outcome?;
        turns?;
        let summary = recorder.finish().await?;
        let digest = system.equal_digests(&system.csps()).await?;
        system.all_alive()?;
        let (epoch, took) = (system.status().await.epoch(), began.elapsed());
        eprintln!("seed {}: {} episodes in {took:.1?}; epoch {epoch}; {summary:?}; {digest:?}", self.seed, plan.len());
        anyhow::ensure!(summary.unknown_present + summary.unknown_unseen == 0, "unsettled requests: {summary:?}");
        Ok(summary)
    }
}

impl Episode {
    /// One copy applies nothing for a while.
    fn held(csp: &str, lasts: Duration) -> Self {
        Self { updates_before: 50, faults: vec![Fault { victim: csp.to_owned(), kind: Kind::Hold }], lasts }
    }

    /// Lets the faults begin, one after the other, and last.
    async fn happen(&self, system: &System) -> anyhow::Result<()> {
        for fault in &self.faults {
            fault.begin(system).with_context(|| fault.to_string())?;
        }
        // Not a wait for something to happen: the time for which the faults last.
        let over = sleep(self.lasts);
        let lasting: Vec<_> = self.faults.iter().map(|fault| Box::pin(fault.last(system))).collect();
        tokio::select! {
            () = over => Ok(()),
            (ended, ..) = select_all(lasting) => ended,
        }
    }
}

impl Fault {
    fn begin(&self, system: &System) -> anyhow::Result<()> {
        let victim = &self.victim;
        match self.kind {
            Kind::Kill => system.kill9(victim),
            Kind::Restart => system.restart(victim)?,
            Kind::Pause => system.pause(victim)?,
            Kind::Slow => {}
            Kind::Disconnect => system.network(victim)?.disconnect(),
            Kind::Cut(cut) => system.network(victim)?.cut(cut),
            Kind::Delay(delay) => system.network(victim)?.delay(delay),
            Kind::DiskFull => system.fill_disk(victim)?,
            Kind::Hold => system.hold_apply(victim)?,
            Kind::Isolate => system.isolate(victim)?,
            Kind::KillMachine => {
                let number = victim.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default();
                system.machine(number).iter().for_each(|name| system.kill9(name));
            }
            Kind::ClockStep(by_ms) => system.step_clock(victim, by_ms)?,
        }
        Ok(())
    }

    /// What has to be done for as long as it lasts; ends only when that fails.
    async fn last(&self, system: &System) -> anyhow::Result<()> {
        match self.kind {
            Kind::Slow => system.slow(&self.victim).await.map(|never| match never {}),
            _ => pending().await,
        }
    }
}
