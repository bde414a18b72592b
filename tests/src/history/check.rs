//! The rules that a history must meet.
//!
//! 1. A request has one outcome: whatever answers came under its id, late ones too, say the same.
//! 2. No two committed transactions stand at the same place.
//! 3. Replaying committed transactions, failures and queries in log order reproduces every result.
//! 4. What was told before another update began stands before it; a strong query has seen all that anybody was told before it
//!    was sent, and so has a failed update of what was acknowledged; a query that allows some lag has seen what was acknowledged so long
//!    before; a session query has seen its position.
//! 5. Refused requests have no effect, unknown ones have it once or not at all (both follow from rule 3).

use std::collections::BTreeMap;

use super::search::Search;
use super::{Consistency, Kind, Place, Record, Violation};

/// What a history consisted of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Updates acknowledged.
    pub updates: usize,
    /// Queries answered.
    pub queries: usize,
    /// Requests of which a statement failed.
    pub failed: usize,
    /// Requests refused.
    pub refused: usize,
    /// Requests of unknown outcome that are in the log.
    pub unknown_present: usize,
    /// Requests of unknown outcome that nobody has seen.
    pub unknown_unseen: usize,
}

/// Checks a whole history, given in any order.
pub fn check(history: &[Record]) -> Result<Summary, Violation> {
    shapes(history)?;
    let history = one_outcome(history)?;
    let mut ordered: Vec<(Place, &Record)> =
        history.iter().filter_map(|record| record.place().map(|place| (place, *record))).collect();
    ordered.sort_by_key(|(place, _)| *place);
    distinct_places(&ordered)?;
    real_time(&ordered)?;
    sessions(&history)?;
    let unknown: Vec<&Record> = history.iter().copied().filter(|record| record.kind == Kind::Unknown).collect();
    let unknown_count = unknown.len();
    let present = Search::new(ordered, unknown).run()?;
    let count = |wanted: fn(&Kind) -> bool| history.iter().filter(|record| wanted(&record.kind)).count();
    Ok(Summary {
        updates: count(|kind| matches!(kind, Kind::Update(_))),
        queries: count(|kind| matches!(kind, Kind::Query { .. })),
        failed: count(|kind| matches!(kind, Kind::Failed { .. })),
        refused: count(|kind| *kind == Kind::Refused),
        unknown_present: present,
        unknown_unseen: unknown_count - present,
    })
}

fn shapes(history: &[Record]) -> Result<(), Violation> {
    let told = |record: &&Record| matches!(record.kind, Kind::Update(_) | Kind::Query { .. });
    match history.iter().filter(told).find(|record| record.observed.len() != record.operations.len()) {
        None => Ok(()),
        Some(record) => {
            Err(Violation::Shape { id: record.id.clone(), asked: record.operations.len(), got: record.observed.len() })
        }
    }
}

/// All queries, and each other request once: its outcome, if anybody was told one, as it was told first.
fn one_outcome(history: &[Record]) -> Result<Vec<&Record>, Violation> {
    let (queries, others): (Vec<&Record>, Vec<&Record>) =
        history.iter().partition(|record| matches!(record.kind, Kind::Query { .. }));
    let mut outcomes: BTreeMap<&str, &Record> = BTreeMap::new();
    for record in others {
        let first = outcomes.entry(&record.id).or_insert(record);
        if record.kind == Kind::Unknown {
            continue;
        }
        if first.kind != Kind::Unknown && (first.kind, &first.observed) != (record.kind, &record.observed) {
            return Err(Violation::TwoOutcomes { id: record.id.clone(), first: first.kind, second: record.kind });
        }
        if first.kind == Kind::Unknown || record.completed_ns < first.completed_ns {
            *first = record;
        }
    }
    Ok(queries.into_iter().chain(outcomes.into_values()).collect())
}

fn distinct_places(ordered: &[(Place, &Record)]) -> Result<(), Violation> {
    let updates: Vec<_> = ordered.iter().filter(|(_, record)| matches!(record.kind, Kind::Update(_))).collect();
    match updates.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(()),
        Some(pair) => {
            Err(Violation::SamePlace { first: pair[0].1.id.clone(), second: pair[1].1.id.clone(), place: pair[0].0 })
        }
    }
}

/// The highest place that anybody had been told, by time.
struct Told<'a>(Vec<(u64, Place, &'a Record)>);

impl<'a> Told<'a> {
    fn new(answers: impl Iterator<Item = (Place, &'a Record)>) -> Self {
        let mut by_time: Vec<_> = answers.map(|(place, record)| (record.completed_ns, place, record)).collect();
        by_time.sort_by_key(|(at, place, _)| (*at, *place));
        for later in 1..by_time.len() {
            let (_, highest, record) = by_time[later - 1];
            if highest > by_time[later].1 {
                (by_time[later].1, by_time[later].2) = (highest, record);
            }
        }
        Self(by_time)
    }

    fn before(&self, at_ns: u64) -> Option<(Place, &'a Record)> {
        let end = self.0.partition_point(|(told, ..)| *told < at_ns);
        self.0[..end].last().map(|(_, place, record)| (*place, *record))
    }
}

fn real_time(placed: &[(Place, &Record)]) -> Result<(), Violation> {
    let all = Told::new(placed.iter().copied().filter(|(_, record)| !matches!(record.kind, Kind::Failed { .. })));
    let acknowledged = Told::new(placed.iter().copied().filter(|(_, record)| matches!(record.kind, Kind::Update(_))));
    for (place, record) in placed {
        let known = match record.kind {
            Kind::Update(_) | Kind::Query { consistency: Consistency::Strong, .. } => all.before(record.invoked_ns),
            Kind::Failed { .. } => acknowledged.before(record.invoked_ns),
            Kind::Query { consistency: Consistency::Lag(lag_ns), .. } => {
                acknowledged.before(record.invoked_ns.saturating_sub(lag_ns))
            }
            _ => None,
        };
        if let Some((known, earlier)) = known
            && (known > *place || (known == *place && matches!(record.kind, Kind::Update(_))))
        {
            return Err(Violation::RealTime {
                earlier: earlier.id.clone(),
                earlier_place: known,
                later: record.id.clone(),
                kind: record.kind,
            });
        }
    }
    Ok(())
}

fn sessions(history: &[&Record]) -> Result<(), Violation> {
    for record in history {
        if let Kind::Query { position, consistency: Consistency::Session(after) } = record.kind
            && position < after
        {
            return Err(Violation::Session { id: record.id.clone(), after, position });
        }
    }
    Ok(())
}
