//! Promises that the product breaks on purpose: what checks them is worth something if it notices each.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Faults;
use crate::broken_promise::broken_promise;
use crate::system::{Options, System};

/// How the group is treated meanwhile: few hot keys, and faults now and then.
const TREATMENT: Faults =
    Faults { seed: 0, episodes: 3, lasts_max: Duration::from_millis(2_500), clients: 8, keys: 4, begins_held: true };

/// A promise to break.
#[derive(Clone, Copy, Debug)]
pub struct Sabotage {
    /// As `HOLDFAST_FAULT` names it.
    pub name: &'static str,
    /// The only CSP that does it; all do if there is none.
    pub saboteur: Option<&'static str>,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::of_all("ignore-conflicts"),
        Self::of_all("ignore-index-conflicts"),
        Self::of_all("skip-barrier"),
        Self::of_all("ignore-max-lag"),
        Self::of_all("forget-ids"),
        Self { name: "skip-write", saboteur: Some("csp-2") },
        Self::of_all("apply-refused"),
        Self::of_all("reverse-entries"),
        Self::of_all("tell-lost-as-done"),
        Self::of_all("tell-done-as-refused"),
        Self::of_all("answer-twice"),
    ];

    const fn of_all(name: &'static str) -> Self {
        Self { name, saboteur: None }
    }

    /// Runs groups that break the promise, one after the other, until that is noticed; what was seen, or none within the time.
    pub async fn is_found(self, seed: u64, within: Duration) -> Option<String> {
        let began = Instant::now();
        for round in 0.. {
            let group = if round % 2 == 0 { Options::peer() } else { Options::primary() };
            let options =
                Options { sabotage: Some(self.name), saboteur: self.saboteur, ..group.redundant().breakable() };
            let plan = Faults { seed: seed.wrapping_add(round), ..TREATMENT };
            let run = System::run(options, async |system| plan.run(&system).await.map(drop));
            match timeout_at(began + within, run).await {
                Err(_) => return None,
                Ok(Ok(())) => eprintln!("{}: round {round} showed nothing", self.name),
                Ok(Err(error)) => match broken_promise(&error) {
                    Some(seen) => return Some(seen),
                    // A group that does not work any more is no proof that anybody would have noticed.
                    None => eprintln!("{}: round {round} ended without proof: {error:#}", self.name),
                },
            }
        }
        None
    }
}
