//! The rules that a history must meet.
//!
//! 1. No two committed transactions stand at the same place.
//! 2. Replaying committed transactions and queries in log order reproduces every result.
//! 3. What was acknowledged before another update began stands before it; a strong query has seen all that was
//!    acknowledged before it was sent; a session query has seen its position.
//! 4. Refused requests have no effect, unknown ones have it once or not at all (both follow from rule 2).

use super::search::Search;
use super::{Consistency, Kind, Place, Record, Violation};

/// What a history consisted of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Updates acknowledged.
    pub updates: usize,
    /// Queries answered.
    pub queries: usize,
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
    let mut ordered: Vec<(Place, &Record)> =
        history.iter().filter_map(|record| record.place().map(|place| (place, record))).collect();
    ordered.sort_by_key(|(place, _)| *place);
    distinct_places(&ordered)?;
    real_time(history)?;
    sessions(history)?;
    let unknown: Vec<&Record> = history.iter().filter(|record| record.kind == Kind::Unknown).collect();
    let unknown_count = unknown.len();
    let present = Search::new(ordered, unknown).run()?;
    let count = |wanted: fn(&Kind) -> bool| history.iter().filter(|record| wanted(&record.kind)).count();
    Ok(Summary {
        updates: count(|kind| matches!(kind, Kind::Update(_))),
        queries: count(|kind| matches!(kind, Kind::Query { .. })),
        refused: count(|kind| *kind == Kind::Refused),
        unknown_present: present,
        unknown_unseen: unknown_count - present,
    })
}

fn shapes(history: &[Record]) -> Result<(), Violation> {
    match history.iter().find(|record| record.place().is_some() && record.observed.len() != record.operations.len()) {
        None => Ok(()),
        Some(record) => {
            Err(Violation::Shape { id: record.id.clone(), asked: record.operations.len(), got: record.observed.len() })
        }
    }
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

/// Whether a request that begins after `earlier` was answered at `known` is allowed to stand at `place`.
fn follows(later: &Record, place: Place, known: Place, known_is_update: bool) -> bool {
    match later.kind {
        Kind::Update(_) => place > known,
        Kind::Query { consistency: Consistency::Strong, .. } => !known_is_update || place >= known,
        _ => true,
    }
}

/// Sweeps through time with the highest place that had been told to anybody so far, by updates and by queries.
fn real_time(history: &[Record]) -> Result<(), Violation> {
    let placed = || history.iter().filter_map(|record| record.place().map(|place| (place, record)));
    let mut answers: Vec<_> = placed().collect();
    answers.sort_by_key(|(_, record)| record.completed_ns);
    let mut begins: Vec<_> = placed().collect();
    begins.sort_by_key(|(_, record)| record.invoked_ns);
    let mut answers = answers.into_iter().peekable();
    let mut highest: [Option<(Place, &Record)>; 2] = [None, None];
    for (place, record) in begins {
        while let Some((told, answer)) = answers.next_if(|(_, answer)| answer.completed_ns < record.invoked_ns) {
            let slot = &mut highest[usize::from(matches!(answer.kind, Kind::Update(_)))];
            if slot.is_none_or(|(highest, _)| told > highest) {
                *slot = Some((told, answer));
            }
        }
        for (is_update, known) in [false, true].into_iter().zip(&highest) {
            if let Some((known, earlier)) = *known
                && !follows(record, place, known, is_update)
            {
                return Err(Violation::RealTime {
                    earlier: earlier.id.clone(),
                    earlier_place: known,
                    later: record.id.clone(),
                    later_place: place,
                });
            }
        }
    }
    Ok(())
}

fn sessions(history: &[Record]) -> Result<(), Violation> {
    for record in history {
        if let Kind::Query { position, consistency: Consistency::Session(after) } = record.kind
            && position < after
        {
            return Err(Violation::Session { id: record.id.clone(), after, position });
        }
    }
    Ok(())
}
