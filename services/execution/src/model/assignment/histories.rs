//! Random histories: several instances that all believe to lead, each with its own late and incomplete picture; CSPs that
//! live, drain, die and come back; verdicts, right and wrong; writes that are lost or of unknown outcome; a bucket that
//! vanishes; holders that are gray. Bucket and log are those of JetStream: compare-and-set, and entries in order.

use super::assigner::{Assigner, Effect, Write};
use super::candidate::Gone;
use super::fixture::{POLICY, at, beat, gray, silent, verdict};
use holdfast_schemas::message::{Assignment, CspState, CspStateChange, Heartbeat, TASK_REPLICATION, TaskDefinition};
use proptest::prelude::*;
use std::collections::BTreeMap;

const CSPS: [&str; 3] = ["a", "b", "c"];
const INSTANCES: usize = 3;
const TASKS: [&str; 2] = [TASK_REPLICATION, "report"];

/// A CSP as it really is.
#[derive(Clone)]
struct Csp {
    state: CspState,
    incarnation: u32,
    alive: bool,
    epoch: u64,
    primary: &'static str,
}

struct World {
    now_ms: u64,
    csps: Vec<Csp>,
    instances: Vec<Assigner>,
    /// Decided and not yet carried out: by whom, what.
    under_way: Vec<(usize, Write)>,
    bucket: BTreeMap<String, (Assignment, u64)>,
    last_revision: u64,
    /// The epoch entries of the log that count.
    log: Vec<(u64, &'static str)>,
    /// Everything that was ever stored.
    stored: Vec<Assignment>,
    /// The tasks that moved because their holders were gray, and when.
    relieved: Vec<(String, u64)>,
}

#[derive(Debug, Clone)]
enum Step {
    /// The CSP says how it is, and these instances hear it.
    Beat {
        csp: usize,
        heard: [bool; INSTANCES],
    },
    /// The copy reads the log to its end.
    Read {
        csp: usize,
    },
    State {
        csp: usize,
        state: CspState,
    },
    Die {
        csp: usize,
    },
    Start {
        csp: usize,
    },
    Judge {
        csp: usize,
        state: CspState,
        named: bool,
        heard: [bool; INSTANCES],
    },
    Gray {
        csp: usize,
        heard: [bool; INSTANCES],
    },
    Decide {
        instance: usize,
    },
    /// The oldest write under way reaches the bucket; its writer may not hear of it, and its entry may not reach the log.
    CarryOut {
        answered: bool,
        announced: bool,
    },
    /// The oldest write under way never reaches the bucket.
    LoseWrite,
    Watch {
        instance: usize,
    },
    Vanish,
    Wait {
        ms: u64,
    },
}

/// Whether the task moves because its holder is gray, and is not just written again.
fn is_relief(write: &Write) -> bool {
    write.assignment.gray_epoch == Some(write.assignment.epoch) && write.previous != write.assignment.csp
}

fn known(name: &str) -> &'static str {
    CSPS.into_iter().find(|csp| *csp == name).unwrap()
}

impl World {
    fn new() -> Self {
        let csp = Csp { state: CspState::Joining, incarnation: 0, alive: true, epoch: 0, primary: "" };
        let instance = || silent(&CSPS, vec![TaskDefinition::new("report")]);
        Self {
            now_ms: 0,
            csps: vec![csp; CSPS.len()],
            instances: (0..INSTANCES).map(|_| instance()).collect(),
            under_way: Vec::new(),
            bucket: BTreeMap::new(),
            last_revision: 0,
            log: vec![(1, "a")],
            stored: Vec::new(),
            relieved: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Beat { csp, heard } => self.beat(*csp, heard),
            Step::Read { csp } => {
                let (epoch, primary) = *self.log.last().unwrap();
                let csp = &mut self.csps[*csp];
                (csp.epoch, csp.primary) = (epoch, primary);
            }
            Step::State { csp, state } => self.csps[*csp].state = *state,
            Step::Die { csp } => self.csps[*csp].alive = false,
            Step::Start { csp } => {
                let csp = &mut self.csps[*csp];
                let incarnation = csp.incarnation + 1;
                *csp = Csp { state: CspState::Joining, incarnation, alive: true, epoch: 0, primary: "" };
            }
            Step::Judge { csp, state, named, heard } => {
                let incarnation = self.csps[*csp].incarnation.to_string();
                self.judge(&verdict(CSPS[*csp], *state, named.then_some(incarnation.as_str())), heard);
            }
            Step::Gray { csp, heard } => {
                let incarnation = self.csps[*csp].incarnation.to_string();
                self.judge(&gray(CSPS[*csp], &incarnation), heard);
            }
            Step::Decide { instance } => self.decide(*instance),
            Step::CarryOut { answered, announced } => self.carry_out(*answered, *announced),
            Step::LoseWrite => {
                if !self.under_way.is_empty() {
                    let (instance, write) = self.under_way.remove(0);
                    self.instances[instance].not_written(&write.assignment.task, None);
                }
            }
            Step::Watch { instance } => self.watch(*instance),
            Step::Vanish => {
                self.bucket.clear();
                self.last_revision = 0;
                self.instances.iter_mut().for_each(Assigner::bucket_lost);
            }
            Step::Wait { ms } => self.now_ms += ms,
        }
    }

    fn beat(&mut self, csp: usize, heard: &[bool; INSTANCES]) {
        let name = CSPS[csp];
        let csp = &self.csps[csp];
        if !csp.alive {
            return;
        }
        let primary = (csp.epoch > 0).then(|| csp.primary.to_owned());
        let (incarnation, epoch) = (csp.incarnation.to_string(), csp.epoch);
        let beat = Heartbeat { incarnation, state: csp.state, primary, ..beat(name, epoch, name) };
        for (instance, _) in self.instances.iter_mut().zip(heard).filter(|(_, heard)| **heard) {
            instance.heartbeat(&beat, self.now_ms);
        }
    }

    fn judge(&mut self, change: &CspStateChange, heard: &[bool; INSTANCES]) {
        for (instance, _) in self.instances.iter_mut().zip(heard).filter(|(_, heard)| **heard) {
            instance.judge(change, self.now_ms);
        }
    }

    fn decide(&mut self, instance: usize) {
        for effect in self.instances[instance].decide(at(self.now_ms)) {
            match effect {
                Effect::Write(write) => {
                    if is_relief(&write) {
                        self.check_relief(instance, &write);
                    }
                    self.under_way.push((instance, write));
                }
                Effect::Announce(log) => self.append(log.epoch, &log.primary),
            }
        }
    }

    /// As far as the instance knows, the holder is gray, and who gets the task can do it.
    fn check_relief(&self, instance: usize, write: &Write) {
        let group = self.instances[instance].group();
        let holder = write.previous.as_deref().unwrap();
        assert!(group.gray(holder, self.now_ms).is_some(), "{write:?}");
        let next = group.candidate(write.assignment.csp.as_deref().unwrap()).unwrap();
        assert_eq!((next.fit(&POLICY, self.now_ms), next.is_late(POLICY.in_step_ms)), (Ok(()), false), "{write:?}");
    }

    /// The rule of every copy: an epoch that is not higher than the last is void.
    fn append(&mut self, epoch: u64, primary: &str) {
        if self.log.last().is_none_or(|(last, _)| epoch > *last) {
            self.log.push((epoch, known(primary)));
        }
    }

    fn carry_out(&mut self, answered: bool, announced: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let (instance, write) = self.under_way.remove(0);
        let task = write.assignment.task.clone();
        let present = self.bucket.get(&task).map_or(0, |(_, revision)| *revision);
        if present != write.revision {
            let found = self.bucket.get(&task).cloned();
            self.instances[instance].not_written(&task, found);
            return;
        }
        self.last_revision += 1;
        self.bucket.insert(task.clone(), (write.assignment.clone(), self.last_revision));
        self.stored.push(write.assignment.clone());
        if is_relief(&write) {
            self.relieved.push((task.clone(), self.now_ms));
        }
        if write.announce && announced {
            self.append(write.assignment.epoch, write.assignment.csp.as_deref().unwrap());
        }
        if answered {
            self.instances[instance].written(write.assignment, self.last_revision);
        } else {
            self.instances[instance].not_written(&task, None);
        }
    }

    fn watch(&mut self, instance: usize) {
        for (assignment, revision) in self.bucket.values() {
            self.instances[instance].read(assignment.clone(), *revision);
        }
    }

    /// Everything that is under way ends, everybody hears everything, and the first instance assigns.
    fn heal(&mut self) {
        for _ in 0..60 {
            for csp in 0..CSPS.len() {
                if self.csps[csp].alive {
                    self.step(&Step::Read { csp });
                    self.beat(csp, &[true; INSTANCES]);
                }
            }
            self.watch(0);
            self.decide(0);
            while !self.under_way.is_empty() {
                self.carry_out(true, true);
            }
            self.now_ms += 100;
        }
    }

    fn holder(&self, task: &str) -> Option<&str> {
        self.bucket.get(task)?.0.csp.as_deref()
    }

    /// As everybody hears it after healing.
    fn is_able(&self, csp: &str) -> bool {
        let group = self.instances[0].group();
        group.candidate(csp).is_some_and(|candidate| candidate.fit(group.policy(), self.now_ms - 100).is_ok())
    }

    /// The same, whatever is doubted about it.
    fn serves(&self, csp: &str) -> bool {
        let group = self.instances[0].group();
        let candidate = group.candidate(csp);
        candidate.is_some_and(|candidate| candidate.better_than_nobody(group.policy(), self.now_ms - 100))
    }
}

fn csp() -> impl Strategy<Value = usize> {
    0..CSPS.len()
}

fn heard() -> impl Strategy<Value = [bool; INSTANCES]> {
    prop::array::uniform3(prop::bool::weighted(0.8))
}

fn state() -> impl Strategy<Value = CspState> {
    prop_oneof![
        6 => Just(CspState::Available),
        1 => Just(CspState::CatchingUp),
        1 => Just(CspState::Draining),
        1 => Just(CspState::Maintenance),
        1 => Just(CspState::Quarantined),
    ]
}

fn judged() -> impl Strategy<Value = CspState> {
    prop_oneof![Just(CspState::Suspect), Just(CspState::Unavailable), Just(CspState::Available)]
}

fn judge() -> impl Strategy<Value = Step> {
    (csp(), judged(), any::<bool>(), heard()).prop_map(|(csp, state, named, heard)| Step::Judge {
        csp,
        state,
        named,
        heard,
    })
}

fn gray_verdict() -> impl Strategy<Value = Step> {
    (csp(), heard()).prop_map(|(csp, heard)| Step::Gray { csp, heard })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (csp(), heard()).prop_map(|(csp, heard)| Step::Beat { csp, heard }),
        6 => csp().prop_map(|csp| Step::Read { csp }),
        4 => (csp(), state()).prop_map(|(csp, state)| Step::State { csp, state }),
        1 => csp().prop_map(|csp| Step::Die { csp }),
        2 => csp().prop_map(|csp| Step::Start { csp }),
        3 => judge(),
        2 => gray_verdict(),
        10 => (0..INSTANCES).prop_map(|instance| Step::Decide { instance }),
        8 => (prop::bool::weighted(0.8), prop::bool::weighted(0.7))
            .prop_map(|(answered, announced)| Step::CarryOut { answered, announced }),
        1 => Just(Step::LoseWrite),
        4 => (0..INSTANCES).prop_map(|instance| Step::Watch { instance }),
        4 => (1u64..400).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// Everybody is gray now and then, and well again.
fn grayly() -> impl Strategy<Value = Step> {
    let well =
        (csp(), heard()).prop_map(|(csp, heard)| Step::Judge { csp, state: CspState::Available, named: true, heard });
    prop_oneof![20 => step(), 10 => gray_verdict(), 5 => well]
}

fn with_losses() -> impl Strategy<Value = Step> {
    prop_oneof![40 => step(), 1 => Just(Step::Vanish)]
}

/// Starts everybody and lets the first epoch be read, so that there is something to lose.
fn begun() -> World {
    let mut world = World::new();
    world.csps.iter_mut().for_each(|csp| csp.state = CspState::Available);
    world.heal();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// However the instances race: an epoch has one holder, and epochs only grow, in the bucket and in the log.
    #[test]
    fn one_holder_for_each_task_and_epoch(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = begun();
        steps.iter().for_each(|step| world.step(step));
        for task in TASKS {
            let epochs: Vec<_> = world.stored.iter().filter(|a| a.task == task).map(|a| a.epoch).collect();
            prop_assert!(epochs.is_sorted_by(|before, after| before < after), "{task}: {epochs:?}");
        }
        // What is in the log was on record before: nobody became primary whom the bucket did not name.
        for (epoch, primary) in world.log.iter().skip(1) {
            let named = |a: &&Assignment| a.task == TASK_REPLICATION && a.epoch == *epoch;
            let recorded: Vec<_> = world.stored.iter().filter(named).filter_map(|a| a.csp.as_deref()).collect();
            prop_assert_eq!(recorded, vec![*primary]);
        }
    }

    /// Nobody loses a task who was neither judged, nor restarted, nor left by itself, whatever happens to the others.
    #[test]
    fn a_healthy_holder_is_never_replaced(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = begun();
        let holder = TASKS.map(|task| world.holder(task).unwrap().to_owned());
        let spared = |csp: &usize| holder.iter().any(|holder| holder == CSPS[*csp]);
        for step in &steps {
            match step {
                Step::State { csp, .. } | Step::Die { csp } | Step::Start { csp } if spared(csp) => {}
                Step::Judge { csp, state: CspState::Unavailable, .. } | Step::Gray { csp, .. } if spared(csp) => {}
                step => world.step(step),
            }
        }
        world.heal();
        prop_assert_eq!(TASKS.map(|task| world.holder(task).unwrap().to_owned()), holder);
    }

    /// However gray they all are, and whoever decides: a task always has a holder, is given to those only who are fit and in
    /// step (see `check_relief`), and having moved for that reason it rests.
    #[test]
    fn grayness_moves_a_task_rarely_and_to_the_fit_only(steps in prop::collection::vec(grayly(), 1..400)) {
        let mut world = begun();
        steps.iter().for_each(|step| world.step(step));
        prop_assert!(world.stored.iter().all(|assignment| assignment.csp.is_some()));
        for task in TASKS {
            let moves: Vec<_> = world.relieved.iter().filter(|(moved, _)| moved == task).map(|(_, at)| *at).collect();
            let rested = moves.is_sorted_by(|before, after| after - before >= POLICY.gray_rest_ms);
            prop_assert!(rested, "{task} moved at {moves:?}");
        }
    }

    /// Once things are calm, a task whose holder is gone has one that is not, if anybody is able; record and log agree.
    #[test]
    fn a_holder_that_is_gone_is_replaced(steps in prop::collection::vec(with_losses(), 1..200)) {
        let mut world = begun();
        steps.iter().for_each(|step| world.step(step));
        world.heal();
        let able: Vec<_> = CSPS.into_iter().filter(|csp| world.is_able(csp)).collect();
        for task in TASKS {
            let holder = world.holder(task).unwrap();
            let gone = world.instances[0].group().gone(holder, world.now_ms);
            prop_assert!(gone.is_none() || able.is_empty(), "{task} is left with {holder}, able: {able:?}");
            // One that drains works until somebody can do it as well; anybody who serves is better than anyone else who is gone.
            let is_idle = gone.is_some_and(|gone| gone != Gone::Reports(CspState::Draining));
            let serving: Vec<_> = CSPS.into_iter().filter(|csp| world.serves(csp)).collect();
            prop_assert!(!is_idle || serving.is_empty(), "{task} is left with {holder}, serving: {serving:?}");
            let reads = world.instances[0].group().candidate(holder).is_some_and(|holder| holder.is_reading());
            prop_assert!(!reads || able.is_empty(), "{holder} is still reading, able: {able:?}");
            let gray = world.instances[0].group().gray(holder, world.now_ms);
            prop_assert!(gray.is_none() || able.is_empty(), "{task} is left with the gray {holder}, able: {able:?}");
        }
        let assignment = &world.bucket[TASK_REPLICATION].0;
        let (epoch, primary) = *world.log.last().unwrap();
        // While all copies still read what was before, there is nobody to whom it would have to be told again.
        if world.instances[0].group().has_reader(world.now_ms - 100) {
            prop_assert_eq!((assignment.epoch, assignment.csp.as_deref()), (epoch, Some(primary)));
        }
        // Also after a bucket was lost, no epoch goes back in the log.
        prop_assert!(world.log.is_sorted_by(|before, after| before.0 < after.0));
    }
}
