//! Which faults happen when: drawn from a seed alone, before anything happens, so that a plan can be told and repeated.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};

use crate::system::Cut;

/// Something that goes wrong with one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The process.
    pub victim: String,
    /// What happens to it.
    pub kind: Kind,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// kill -9; it stays away.
    Kill,
    /// kill -9, and it starts again at once.
    Restart,
    /// SIGSTOP.
    Pause,
    /// It works a tenth of the time.
    Slow,
    /// Its connections are closed, and no new ones come through.
    Disconnect,
    /// Nothing comes through, and nobody is told.
    Cut(Cut),
    /// Everything comes later.
    Delay(Duration),
    /// Its disk is full.
    DiskFull,
    /// Its wall clock jumps by so many milliseconds.
    ClockStep(i64),
    /// It applies nothing, and everything else of it goes on.
    Hold,
    /// A NATS server is cut off from the others, silently.
    Isolate,
    /// All processes of a machine are killed at once.
    KillMachine,
}

/// Some faults at once, under load, until everything is healed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Updates that are acknowledged before.
    pub updates_before: u64,
    /// What happens, in this order.
    pub faults: Vec<Fault>,
    /// How long it lasts.
    pub lasts: Duration,
}

/// What there is to break.
#[derive(Clone, Debug)]
pub struct Targets {
    /// All processes.
    pub names: Vec<String>,
    /// Whether services have networks of their own.
    pub networks: bool,
    /// Whether CSPs have disks of their own.
    pub disks: bool,
    /// Whether services have clocks of their own.
    pub clocks: bool,
    /// Whether CSPs can be kept from applying anything.
    pub holds: bool,
    /// What stands on each machine.
    pub machines: Vec<Vec<String>>,
}

impl Fault {
    /// The processes that it concerns.
    pub fn processes(&self, targets: &Targets) -> Vec<String> {
        let number = self.victim.strip_prefix(MACHINE).and_then(|number| number.parse::<usize>().ok());
        match number.and_then(|number| targets.machines.get(number - 1)) {
            Some(machine) => machine.clone(),
            None => vec![self.victim.clone()],
        }
    }
}

/// What machines are called, before their number.
const MACHINE: &str = "machine-";
/// One fault in so many is the loss of a machine.
const MACHINE_ONE_IN: u32 = 12;

/// Draws so many episodes, each shorter than `lasts_max`.
pub fn draw(seed: u64, episodes: usize, lasts_max: Duration, targets: &Targets) -> Vec<Episode> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..episodes).map(|_| episode(&mut random, lasts_max, targets)).collect()
}

fn episode(random: &mut StdRng, lasts_max: Duration, targets: &Targets) -> Episode {
    let count = match random.random_range(0..10) {
        0..6 => 1,
        6..9 => 2,
        _ => 3,
    };
    let mut faults: Vec<Fault> = Vec::new();
    while faults.len() < count {
        let fault = fault(random, targets);
        let hit = fault.processes(targets);
        if !faults.iter().flat_map(|other| other.processes(targets)).any(|other| hit.contains(&other)) {
            faults.push(fault);
        }
    }
    let lasts_ms = random.random_range(200..=lasts_max.as_millis().max(200) as u64);
    Episode { updates_before: random.random_range(1..60), faults, lasts: Duration::from_millis(lasts_ms) }
}

fn fault(random: &mut StdRng, targets: &Targets) -> Fault {
    if !targets.machines.is_empty() && random.random_range(0..MACHINE_ONE_IN) == 0 {
        let number = random.random_range(1..=targets.machines.len());
        return Fault { victim: format!("{MACHINE}{number}"), kind: Kind::KillMachine };
    }
    let victim = victim(random, &targets.names);
    let kind = kind(random, &victim, targets);
    Fault { victim, kind }
}

/// Mostly a CSP.
fn victim(random: &mut StdRng, names: &[String]) -> String {
    let prefix = match random.random_range(0..100) {
        0..60 => "csp-",
        60..76 => "execution-",
        76..88 => "nats-",
        88..96 => "supervision-",
        _ => "administration-",
    };
    let named = names.iter().filter(|name| name.starts_with(prefix));
    named.choose(random).or_else(|| names.choose(random)).cloned().unwrap_or_default()
}

fn kind(random: &mut StdRng, victim: &str, targets: &Targets) -> Kind {
    let service = !victim.starts_with("nats-");
    let mut kinds = vec![Kind::Kill, Kind::Restart, Kind::Pause, Kind::Slow];
    if service && targets.networks {
        let cut = [Cut::Both, Cut::Both, Cut::ToNats, Cut::FromNats].choose(random).copied().unwrap_or(Cut::Both);
        let delay = Duration::from_millis(random.random_range(5..400));
        kinds.extend([Kind::Disconnect, Kind::Cut(cut), Kind::Delay(delay)]);
    }
    if victim.starts_with("csp-") && targets.disks {
        kinds.push(Kind::DiskFull);
    }
    if victim.starts_with("csp-") && targets.holds {
        kinds.push(Kind::Hold);
    }
    let servers = targets.names.iter().filter(|name| name.starts_with("nats-")).count();
    if !service && targets.networks && servers > 1 {
        kinds.extend([Kind::Isolate, Kind::Isolate]);
    }
    if service && targets.clocks {
        let by_ms = [5_000, 60_000, 3_600_000].choose(random).copied().unwrap_or(5_000);
        kinds.push(Kind::ClockStep(if random.random_range(0..2) == 0 { by_ms } else { -by_ms }));
    }
    kinds.choose(random).copied().unwrap_or(Kind::Kill)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let victim = &self.victim;
        match self.kind {
            Kind::Kill => write!(f, "kill {victim}"),
            Kind::Restart => write!(f, "restart {victim}"),
            Kind::Pause => write!(f, "pause {victim}"),
            Kind::Slow => write!(f, "slow {victim} down"),
            Kind::Disconnect => write!(f, "disconnect {victim}"),
            Kind::Cut(cut) => write!(f, "cut {victim} {cut}"),
            Kind::Delay(delay) => write!(f, "delay {victim} by {delay:?}"),
            Kind::DiskFull => write!(f, "fill the disk of {victim}"),
            Kind::Hold => write!(f, "let {victim} apply nothing"),
            Kind::Isolate => write!(f, "isolate {victim} from the other servers"),
            Kind::KillMachine => write!(f, "kill all of {victim}"),
            Kind::ClockStep(by_ms) => write!(f, "step the clock of {victim} by {by_ms} ms"),
        }
    }
}

impl fmt::Display for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        write!(f, "after {} updates, for {:?}: {}", self.updates_before, self.lasts, faults.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::discriminant;

    use super::*;

    const LASTS_MAX: Duration = Duration::from_millis(1_500);

    fn targets(all: bool) -> Targets {
        let names = ["administration-1", "csp-1", "csp-2", "csp-3", "execution-1", "nats-1", "nats-2", "supervision-1"];
        let machine = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        let machines = if all { vec![machine(["nats-1", "csp-1"]), machine(["nats-2", "csp-2"])] } else { Vec::new() };
        let names = names.map(str::to_owned).into();
        Targets { names, networks: all, disks: all, clocks: all, holds: all, machines }
    }

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        assert_eq!(draw(7, 50, LASTS_MAX, &targets(true)), draw(7, 50, LASTS_MAX, &targets(true)));
        assert_ne!(draw(7, 50, LASTS_MAX, &targets(true)), draw(8, 50, LASTS_MAX, &targets(true)));
    }

    #[test]
    fn every_kind_of_fault_is_drawn_and_no_process_has_two_at_once() {
        for (all, kinds) in [(true, 12), (false, 4)] {
            let targets = targets(all);
            let plan = draw(1, 1_000, LASTS_MAX, &targets);
            let drawn: Vec<_> = plan.iter().flat_map(|episode| &episode.faults).map(|fault| fault.kind).collect();
            let mut distinct = Vec::new();
            for kind in &drawn {
                if !distinct.contains(&discriminant(kind)) {
                    distinct.push(discriminant(kind));
                }
            }
            assert_eq!(distinct.len(), kinds, "{drawn:?}");
            for episode in &plan {
                let hit: Vec<_> = episode.faults.iter().flat_map(|fault| fault.processes(&targets)).collect();
                assert_eq!(hit.iter().collect::<BTreeSet<_>>().len(), hit.len(), "{episode}");
                assert!(episode.lasts <= LASTS_MAX, "{episode}");
            }
        }
    }

    #[test]
    fn only_services_have_networks_and_clocks_and_only_csps_have_disks() {
        for fault in draw(2, 1_000, LASTS_MAX, &targets(true)).iter().flat_map(|episode| &episode.faults) {
            let allowed = match fault.kind {
                Kind::Disconnect | Kind::Cut(_) | Kind::Delay(_) | Kind::ClockStep(_) => {
                    !fault.victim.starts_with("nats-")
                }
                Kind::DiskFull | Kind::Hold => fault.victim.starts_with("csp-"),
                Kind::Isolate => fault.victim.starts_with("nats-"),
                Kind::KillMachine => fault.victim.starts_with("machine-"),
                Kind::Kill | Kind::Restart | Kind::Pause | Kind::Slow => true,
            };
            assert!(allowed, "{fault}");
        }
    }
}
