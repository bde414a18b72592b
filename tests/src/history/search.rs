//! Replays the log on the model, and finds the places of requests whose outcome nobody learnt.
//!
//! A request of unknown outcome happened once or never. Since every operation observes what it touches, such a request
//! can be left out until the first result that does not fit without it: only there the search branches, over the
//! unknown requests that can be seen from there, and takes the first way that explains the rest of the history.
//!
//! That does not hold where an operation may do nothing that anybody could see, or depends on what it does not tell
//! ([`super::Operation::is_plain`]). One of these of unknown outcome can make a right history look wrong; runs demand that nothing
//! stays unknown in the end.

use super::{Kind, Observation, Place, Record, State, Violation};

/// Ways tried before giving up: far above what a handful of unknown requests needs.
const BRANCHES_MAX: usize = 200_000;

pub(super) struct Search<'a> {
    /// What has a place, in the order of the log.
    ordered: Vec<(Place, &'a Record)>,
    unknown: Vec<&'a Record>,
    branches: usize,
}

impl<'a> Search<'a> {
    pub(super) fn new(ordered: Vec<(Place, &'a Record)>, unknown: Vec<&'a Record>) -> Self {
        Self { ordered, unknown, branches: 0 }
    }

    /// Replays everything. On success, the number of unknown requests that must have happened.
    pub(super) fn run(mut self) -> Result<usize, Violation> {
        let pending: Vec<usize> = (0..self.unknown.len()).collect();
        let total = pending.len();
        self.replay(0, State::default(), pending).map(|left| total - left)
    }

    /// Replays from `start`; on success, how many unknown requests were not needed.
    fn replay(&mut self, start: usize, mut state: State, pending: Vec<usize>) -> Result<usize, Violation> {
        for at in start..self.ordered.len() {
            let (place, record) = self.ordered[at];
            match compare(record, place, &mut state) {
                Ok(()) => {}
                Err(violation) if pending.is_empty() => return Err(violation),
                Err(violation) => return self.insert(at, &state, &pending, violation),
            }
        }
        Ok(pending.len())
    }

    /// The result at `at` does not fit: tries to put one unknown request before it, and goes on from there.
    fn insert(&mut self, at: usize, state: &State, pending: &[usize], found: Violation) -> Result<usize, Violation> {
        let (_, record) = self.ordered[at];
        for candidate in self.candidates(record, pending) {
            self.branches += 1;
            if self.branches > BRANCHES_MAX {
                return Err(Violation::Undecided { unknown: self.unknown.len() });
            }
            let mut with = state.clone();
            if with.perform_all(&self.unknown[candidate].operations).contains(&Observation::Failure) {
                continue;
            }
            let rest = pending.iter().copied().filter(|&other| other != candidate).collect();
            match self.replay(at, with, rest) {
                Ok(left) => return Ok(left),
                Err(undecided @ Violation::Undecided { .. }) => return Err(undecided),
                Err(_) => {}
            }
        }
        Err(found)
    }

    /// The unknown requests that can be seen from here, directly or through one another, and had begun by then.
    fn candidates(&self, record: &Record, pending: &[usize]) -> Vec<usize> {
        let mut seen: Vec<usize> = Vec::new();
        let mut frontier: Vec<&Record> = vec![record];
        while let Some(from) = frontier.pop() {
            for &other in pending {
                let unknown = self.unknown[other];
                if !seen.contains(&other) && unknown.invoked_ns < record.completed_ns && meet(from, unknown) {
                    seen.push(other);
                    frontier.push(unknown);
                }
            }
        }
        seen
    }
}

fn meet(one: &Record, other: &Record) -> bool {
    one.operations.iter().any(|a| other.operations.iter().any(|b| a.meets(b)))
}

/// Performs one request and compares what it saw. A request that failed, and one that does not fit, leave the state as it was.
fn compare(record: &Record, place: Place, state: &mut State) -> Result<(), Violation> {
    let failed_at = match record.kind {
        Kind::Failed { statement, .. } => Some(statement),
        _ => None,
    };
    for (step, operation) in record.operations.iter().enumerate() {
        let expected = state.perform(operation);
        let observed = match failed_at {
            Some(statement) if step == statement => &Observation::Failure,
            // Nothing was told of what came before the failure, but that it did not fail.
            Some(_) if expected != Observation::Failure => continue,
            Some(_) => &Observation::List(Vec::new()),
            None => &record.observed[step],
        };
        if expected != *observed {
            state.take_back();
            let (id, operation, observed) = (record.id.clone(), operation.clone(), observed.clone());
            return Err(Violation::Result { id, place, operation, observed, expected });
        }
        if failed_at == Some(step) {
            break;
        }
    }
    if failed_at.is_some() {
        state.take_back()
    } else {
        state.keep()
    }
    Ok(())
}
