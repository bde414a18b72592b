//! A group of a few lines, to test the checker: it serves clients in random interleavings and writes down what they would have
//! written down. Some answers get lost, before or after the transaction happened. On demand it breaks one promise.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::broken::{Broken, carry_out};
use super::{Consistency, Kind, Observation, Operation, Place, Record, State, Workload};

pub(super) const CLIENTS: usize = 6;
pub(super) const KEYS: usize = 3;
/// What queries with a bound allow, in the simulation's own time.
const LAG: u64 = 15;
/// What is broken now and then is broken once in so many times.
const NOW_AND_THEN: u32 = 8;

struct Open {
    id: String,
    invoked_ns: u64,
    operations: Vec<Operation>,
    consistency: Option<Consistency>,
    /// The positions that had been told, when it began: acknowledged, acknowledged so long ago that every query has to know,
    /// and told to anybody.
    told: [u64; 3],
    done: Option<(Kind, Vec<Observation>)>,
    lost: bool,
}

struct Simulation {
    random: StdRng,
    now_ns: u64,
    /// What the group has, and what it should have.
    state: State,
    truth: State,
    place: Place,
    /// The content at the end of each position.
    snapshots: Vec<[State; 2]>,
    told: Vec<u64>,
    late: Vec<Vec<Operation>>,
    broken: Option<Broken>,
    struck: bool,
    history: Vec<Record>,
}

/// A history of about `length` requests that a correct group could have produced.
pub(super) fn history(seed: u64, length: usize) -> Vec<Record> {
    simulate(seed, length, None).0
}

/// A history of a group that breaks a promise; none where it made no difference.
pub(super) fn broken_history(seed: u64, length: usize, broken: Broken) -> Option<Vec<Record>> {
    let (history, struck) = simulate(seed, length, Some(broken));
    struck.then_some(history)
}

fn simulate(seed: u64, length: usize, broken: Option<Broken>) -> (Vec<Record>, bool) {
    let mut simulation = Simulation {
        random: StdRng::seed_from_u64(seed),
        now_ns: 1,
        state: State::default(),
        truth: State::default(),
        place: Place { position: 1, index: 0 },
        snapshots: vec![<[State; 2]>::default(), <[State; 2]>::default()],
        told: vec![0; CLIENTS],
        late: Vec::new(),
        broken,
        struck: false,
        history: Vec::new(),
    };
    let mut workloads: Vec<Workload> = (0..CLIENTS).map(|client| Workload::new(seed, client, CLIENTS, KEYS)).collect();
    let mut open: Vec<Option<Open>> = (0..CLIENTS).map(|_| None).collect();
    while simulation.history.len() < length {
        simulation.now_ns += 1;
        let client = simulation.random.random_range(0..CLIENTS);
        open[client] = match open[client].take() {
            None => Some(simulation.begin(client, &mut workloads[client])),
            Some(request) if request.done.is_none() && !request.lost => Some(simulation.execute(request)),
            Some(request) => simulation.answer(client, request),
        };
    }
    for (client, request) in open.into_iter().enumerate() {
        if let Some(request) = request.filter(|request| request.done.is_some() || request.lost) {
            simulation.answer(client, request);
        }
    }
    simulation.finish();
    (simulation.history, simulation.struck)
}

impl Simulation {
    fn begin(&mut self, client: usize, workload: &mut Workload) -> Open {
        let consistency = workload.one_in(3).then(|| match self.random.random_range(0..4) {
            0 => Consistency::Any,
            1 => Consistency::Session(self.told[client]),
            2 => Consistency::Lag(LAG),
            _ => Consistency::Strong,
        });
        let operations = if consistency.is_some() { workload.query() } else { workload.update() };
        // What nobody learnt could explain what is broken.
        let may_be_lost = self.broken.is_none() && consistency.is_none() && operations.iter().all(Operation::is_plain);
        let lost = may_be_lost && self.random.random_range(0..30) == 0;
        let is_update = |record: &Record| matches!(record.kind, Kind::Update(_));
        let told = [
            self.told_before(self.now_ns, is_update),
            self.told_before(self.now_ns.saturating_sub(LAG), is_update),
            self.told_before(self.now_ns, |record| !matches!(record.kind, Kind::Failed { .. })),
        ];
        let id = format!("{client}-{}", self.now_ns);
        Open { id, invoked_ns: self.now_ns, operations, consistency, told, done: None, lost }
    }

    /// The highest position that anybody was told before this time, of these answers.
    fn told_before(&self, at_ns: u64, wanted: impl Fn(&Record) -> bool) -> u64 {
        let told = self.history.iter().filter(|record| record.completed_ns < at_ns && wanted(record));
        told.filter_map(Record::place).map(|place| place.position).max().unwrap_or(1)
    }

    fn breaks(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    fn execute(&mut self, mut request: Open) -> Open {
        let [acknowledged, old, told] = request.told;
        let newest = self.place.position;
        request.done = Some(match request.consistency {
            None if self.random.random_range(0..20) == 0 => {
                if self.breaks(Broken::LateEffect) {
                    self.late.push(request.operations.clone());
                }
                (Kind::Refused, Vec::new())
            }
            None => self.update(&request.operations, acknowledged),
            Some(consistency) => {
                let broken = match consistency {
                    Consistency::Strong if self.breaks(Broken::StrongBehindQuery) => Some((acknowledged, told)),
                    Consistency::Lag(_) if self.breaks(Broken::LagIgnored) => Some((1, old)),
                    _ => None,
                };
                let lowest = match consistency {
                    Consistency::Any => 1,
                    Consistency::Session(after) => after.max(1),
                    Consistency::Lag(_) => old,
                    Consistency::Strong => newest,
                };
                let position = match broken {
                    Some((position, needed)) => {
                        self.struck |= position < needed;
                        position
                    }
                    None => self.random.random_range(lowest..=newest),
                };
                self.query(position, consistency, &request.operations)
            }
        });
        request
    }

    fn update(&mut self, operations: &[Operation], acknowledged: u64) -> (Kind, Vec<Observation>) {
        if self.breaks(Broken::StaleFailure) {
            let old = self.random.random_range(1..=self.place.position);
            let [mut state, _] = self.snapshots[old as usize].clone();
            let observed = state.perform_all(operations);
            if old < self.place.position && observed.last() == Some(&Observation::Failure) {
                self.struck |= old < acknowledged;
                return (Kind::Failed { position: old, statement: observed.len() - 1 }, Vec::new());
            }
        }
        let told = self.commit(operations);
        let appends = operations.iter().any(|operation| matches!(operation, Operation::Append { .. }));
        if self.breaks(Broken::IdForgotten) && appends && matches!(told.0, Kind::Update(_)) && self.now_and_then() {
            self.struck = true;
            return self.commit(operations);
        }
        told
    }

    fn commit(&mut self, operations: &[Operation]) -> (Kind, Vec<Observation>) {
        let observed = self.perform(operations);
        if observed.last() == Some(&Observation::Failure) {
            let position = self.place.position;
            self.seal();
            return (Kind::Failed { position, statement: observed.len() - 1 }, Vec::new());
        }
        if self.random.random_range(0..2) == 0 {
            self.next_position();
        } else {
            self.place.index += 1;
        }
        (Kind::Update(self.place), observed)
    }

    /// Carries out a transaction as the group does it, and as it should be done.
    fn perform(&mut self, operations: &[Operation]) -> Vec<Observation> {
        // What is sealed with the position before is what was there before this transaction.
        self.snapshots[self.place.position as usize] = [self.state.clone(), self.truth.clone()];
        let strikes = self.broken.filter(|broken| self.now_and_then() || broken.is_rare());
        let observed = carry_out(strikes, &mut self.state, operations);
        let truth = self.truth.perform_all(operations);
        // Of what failed nobody is told more than that, and where.
        let both_failed = [&truth, &observed].iter().all(|seen| seen.last() == Some(&Observation::Failure));
        self.struck |= if both_failed { truth.len() != observed.len() } else { truth != observed };
        observed
    }

    fn query(&mut self, position: u64, consistency: Consistency, operations: &[Operation]) -> (Kind, Vec<Observation>) {
        if position == self.place.position {
            self.seal();
        }
        let [mut state, mut truth] = self.snapshots[position as usize].clone();
        let strikes = self.broken.filter(|broken| self.now_and_then() || broken.is_rare());
        let observed = carry_out(strikes, &mut state, operations);
        self.struck |= truth.perform_all(operations) != observed;
        (Kind::Query { position, consistency }, observed)
    }

    /// Ends the position, so that nothing can be added to what a query has seen.
    fn seal(&mut self) {
        self.snapshots[self.place.position as usize] = [self.state.clone(), self.truth.clone()];
        self.next_position();
    }

    /// Begins a position. The one before ends without the transaction that was just carried out.
    fn next_position(&mut self) {
        self.place = Place { position: self.place.position + 1, index: 0 };
        self.snapshots.push([self.state.clone(), self.truth.clone()]);
    }

    fn answer(&mut self, client: usize, mut request: Open) -> Option<Open> {
        if request.lost {
            if request.done.is_none() && self.random.random_range(0..2) == 0 {
                self.commit(&request.operations);
            }
            request.done = Some((Kind::Unknown, Vec::new()));
        }
        let (kind, observed) = request.done?;
        let record = Record {
            id: request.id,
            invoked_ns: request.invoked_ns,
            completed_ns: self.now_ns,
            operations: request.operations,
            observed,
            kind,
        };
        if let Some(place) = record.place() {
            self.told[client] = place.position;
        }
        let is_query = matches!(kind, Kind::Query { .. });
        if self.breaks(Broken::SecondAnswer) && !is_query && self.now_and_then() {
            let kind = if kind == Kind::Refused { Kind::Failed { position: 1, statement: 0 } } else { Kind::Refused };
            self.history.push(Record { completed_ns: self.now_ns + 5, observed: Vec::new(), kind, ..record.clone() });
            self.struck = true;
        } else if !is_query && self.now_and_then() {
            // The same answer comes once more: nothing is wrong with that.
            self.history.push(Record { completed_ns: self.now_ns + 5, ..record.clone() });
        }
        self.history.push(record);
        None
    }

    fn now_and_then(&mut self) -> bool {
        self.random.random_range(0..NOW_AND_THEN) == 0
    }

    /// Reads everything at the end, strongly, as the scenarios do.
    fn finish(&mut self) {
        for operations in std::mem::take(&mut self.late) {
            self.state.perform_all(&operations);
        }
        self.now_ns += 10;
        let operations = Workload::read_all(KEYS);
        let (kind, observed) = self.query(self.place.position, Consistency::Strong, &operations);
        let (invoked_ns, completed_ns) = (self.now_ns, self.now_ns + 1);
        self.history.push(Record { id: "final".into(), invoked_ns, completed_ns, operations, observed, kind });
    }
}
