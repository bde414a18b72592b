//! A correct group of a few lines, to test the checker: it serves clients in random interleavings and writes down what
//! they would have written down. Some answers get lost, before or after the transaction happened.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Consistency, Kind, Observation, Operation, Place, Record, State, Workload};

pub(super) const CLIENTS: usize = 6;
pub(super) const KEYS: usize = 3;

struct Open {
    id: String,
    invoked_ns: u64,
    operations: Vec<Operation>,
    consistency: Option<Consistency>,
    done: Option<(Kind, Vec<Observation>)>,
    lost: bool,
}

struct Simulation {
    random: StdRng,
    now_ns: u64,
    state: State,
    place: Place,
    /// The content at the end of each position.
    snapshots: Vec<State>,
    told: Vec<u64>,
    history: Vec<Record>,
}

/// A history of about `length` requests that a correct group could have produced.
pub(super) fn history(seed: u64, length: usize) -> Vec<Record> {
    let mut simulation = Simulation {
        random: StdRng::seed_from_u64(seed),
        now_ns: 1,
        state: State::default(),
        place: Place { position: 1, index: 0 },
        snapshots: vec![State::default(), State::default()],
        told: vec![0; CLIENTS],
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
    simulation.history
}

impl Simulation {
    fn begin(&mut self, client: usize, workload: &mut Workload) -> Open {
        let consistency = workload.one_in(3).then(|| match self.random.random_range(0..3) {
            0 => Consistency::Any,
            1 => Consistency::Session(self.told[client]),
            _ => Consistency::Strong,
        });
        let operations = if consistency.is_some() { workload.query() } else { workload.update() };
        let lost = consistency.is_none() && self.random.random_range(0..40) == 0;
        let id = format!("{client}-{}", self.now_ns);
        Open { id, invoked_ns: self.now_ns, operations, consistency, done: None, lost }
    }

    fn execute(&mut self, mut request: Open) -> Open {
        let position = self.place.position;
        request.done = Some(match request.consistency {
            None if self.random.random_range(0..20) == 0 => (Kind::Refused, Vec::new()),
            None => self.commit(&request.operations),
            Some(consistency) => {
                let lowest = match consistency {
                    Consistency::Any => 1,
                    Consistency::Session(after) => after.max(1),
                    Consistency::Strong => position,
                };
                let position = self.random.random_range(lowest..=position);
                self.query(position, consistency, &request.operations)
            }
        });
        request
    }

    fn commit(&mut self, operations: &[Operation]) -> (Kind, Vec<Observation>) {
        if self.random.random_range(0..2) == 0 {
            self.seal();
        } else {
            self.place.index += 1;
        }
        (Kind::Update(self.place), self.state.perform_all(operations))
    }

    fn query(&mut self, position: u64, consistency: Consistency, operations: &[Operation]) -> (Kind, Vec<Observation>) {
        if position == self.place.position {
            self.seal();
        }
        let mut state = self.snapshots[position as usize].clone();
        (Kind::Query { position, consistency }, state.perform_all(operations))
    }

    /// Ends the position, so that nothing can be added to what a query has seen.
    fn seal(&mut self) {
        self.snapshots[self.place.position as usize] = self.state.clone();
        self.place = Place { position: self.place.position + 1, index: 0 };
        self.snapshots.push(self.state.clone());
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
        self.history.push(record);
        None
    }

    /// Reads everything at the end, strongly, as the scenarios do.
    fn finish(&mut self) {
        self.now_ns += 1;
        let operations = Workload::read_all(KEYS);
        let (kind, observed) = self.query(self.place.position, Consistency::Strong, &operations);
        let (invoked_ns, completed_ns) = (self.now_ns, self.now_ns + 1);
        self.history.push(Record { id: "final".into(), invoked_ns, completed_ns, operations, observed, kind });
    }
}
