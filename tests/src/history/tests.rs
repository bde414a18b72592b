//! The checker accepts every history of a correct group, and finds every damage.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::broken::Broken;
use super::recorder::judge;
use super::simulate::{broken_history, history};
use super::{Consistency, Kind, Observation, Operation, Place, Record, Violation, Window, available, check};

const SEEDS: u64 = 400;
const LENGTH: usize = 120;

/// Damages the history of every seed (where `damage` finds something to damage) and demands that it is found.
fn finds(name: &str, damage: impl Fn(&mut Vec<Record>, &mut StdRng) -> Option<()>) {
    let mut damaged = 0;
    for seed in 0..SEEDS {
        let mut records = history(seed, LENGTH);
        if damage(&mut records, &mut StdRng::seed_from_u64(seed)).is_some() {
            damaged += 1;
            assert!(check(&records).is_err(), "{name}: seed {seed} was not found");
        }
    }
    assert!(damaged > SEEDS / 2, "{name}: only {damaged} of {SEEDS} histories offered a place for this damage");
}

fn pick(random: &mut StdRng, candidates: Vec<usize>) -> Option<usize> {
    (!candidates.is_empty()).then(|| candidates[random.random_range(0..candidates.len())])
}

fn find(records: &[Record], wanted: impl Fn(&Record) -> bool) -> Vec<usize> {
    (0..records.len()).filter(|&at| wanted(&records[at])).collect()
}

fn is_update(record: &Record) -> bool {
    matches!(record.kind, Kind::Update(_))
}

fn appended(record: &Record) -> Option<u64> {
    record.operations.iter().find_map(|operation| match operation {
        Operation::Append { value, .. } => Some(*value),
        _ => None,
    })
}

#[test]
fn accepts_what_a_correct_group_does() {
    let mut total = super::Summary::default();
    for seed in 0..SEEDS {
        let records = history(seed, LENGTH);
        let summary = check(&records).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        total.updates += summary.updates;
        total.queries += summary.queries;
        total.failed += summary.failed;
        total.refused += summary.refused;
        total.unknown_present += summary.unknown_present;
        total.unknown_unseen += summary.unknown_unseen;
    }
    assert!(total.unknown_present > 100 && total.unknown_unseen > 100, "{total:?}");
    assert!(total.queries > 1_000 && total.refused > 500 && total.failed > 500, "{total:?}");
}

#[test]
fn finds_every_broken_promise() {
    for broken in Broken::ALL {
        let mut struck = 0;
        for seed in 0..SEEDS {
            if let Some(records) = broken_history(seed, LENGTH, broken) {
                struck += 1;
                assert!(check(&records).is_err(), "{broken:?}: seed {seed} was not found");
            }
        }
        assert!(struck > SEEDS / 8, "{broken:?} made a difference in {struck} of {SEEDS} histories only");
    }
}

#[test]
fn finds_a_pause_that_is_longer_than_was_promised() {
    let records = history(1, LENGTH);
    let mut answered: Vec<u64> =
        records.iter().filter(|record| is_update(record)).map(|record| record.completed_ns).collect();
    answered.sort_unstable();
    let (from_ns, until_ns) = (answered[0], answered[answered.len() - 1]);
    let longest = answered.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let window = Window { from_ns, until_ns, bound_ns: longest };
    assert_eq!(available(&records, &[window]), Ok(()));
    for wrong in [Window { bound_ns: longest - 1, ..window }, Window { until_ns: until_ns + longest + 1, ..window }] {
        assert!(matches!(available(&records, &[window, wrong]), Err(Violation::Unavailable { .. })), "{wrong:?}");
    }
}

#[test]
fn a_pause_hides_nothing_that_is_wrong() {
    let mut records = history(7, LENGTH);
    let pause = Window { from_ns: 0, until_ns: u64::MAX, bound_ns: 1 };
    assert!(matches!(judge(&records, &[pause]), Err(Violation::Unavailable { .. })));
    let query = find(&records, |record| matches!(record.kind, Kind::Query { .. }))[0];
    records[query].observed.clear();
    let broken = judge(&records, &[pause]);
    assert!(broken.is_err() && !matches!(broken, Err(Violation::Unavailable { .. })), "{broken:?}");
}

#[test]
fn finds_a_lost_update() {
    finds("acknowledged, and nobody has seen it", |records, random| {
        let lost = pick(random, find(records, is_update))?;
        let value = appended(&records[lost])?;
        for record in records.iter_mut() {
            for observation in &mut record.observed {
                if let Observation::List(values) = observation {
                    values.retain(|&seen| seen != value);
                }
            }
        }
        Some(())
    });
}

#[test]
fn finds_an_update_that_read_before_its_predecessor_wrote() {
    finds("lost update on a counter", |records, random| {
        let adds = |record: &Record| record.operations.iter().any(|o| matches!(o, Operation::Add { .. }));
        let at = pick(random, find(records, |record| is_update(record) && adds(record)))?;
        let record = &mut records[at];
        let step = record.operations.iter().position(|o| matches!(o, Operation::Add { .. }))?;
        let Observation::Number(number) = &mut record.observed[step] else { return None };
        *number -= 1;
        Some(())
    });
}

#[test]
fn finds_a_swapped_order() {
    finds("two places exchanged", |records, random| {
        let first = pick(random, find(records, is_update))?;
        let list = |record: &Record| {
            record.operations.iter().find_map(|operation| match operation {
                Operation::Append { list, .. } => Some(list.clone()),
                _ => None,
            })
        };
        let wanted = Some(list(&records[first])?);
        let second = pick(random, find(records, |record| is_update(record) && list(record) == wanted))?;
        if records[first].id == records[second].id {
            return None;
        }
        let (one, other) = (records[first].kind, records[second].kind);
        records[first].kind = other;
        records[second].kind = one;
        Some(())
    });
}

#[test]
fn finds_a_stale_read() {
    finds("strong query of an old state", |records, _| {
        let last = records.last_mut()?;
        let Kind::Query { position, .. } = last.kind else { return None };
        let (old, _) = records_before(records, position)?;
        let last = records.last_mut()?;
        last.kind = Kind::Query { position: old, consistency: Consistency::Strong };
        Some(())
    });
}

/// The lowest acknowledged position, if something else was acknowledged behind it.
fn records_before(records: &[Record], position: u64) -> Option<(u64, usize)> {
    let mut places: Vec<Place> = records.iter().filter(|record| is_update(record)).filter_map(Record::place).collect();
    places.sort();
    let first = places.first()?.position;
    (places.last()?.position > first && first < position).then_some((first, places.len()))
}

#[test]
fn finds_an_old_answer_in_a_session() {
    finds("session query behind its own position", |records, random| {
        let at = pick(random, find(records, |record| matches!(record.kind, Kind::Query { .. })))?;
        let Kind::Query { position, .. } = records[at].kind else { return None };
        records[at].kind = Kind::Query { position, consistency: Consistency::Session(position + 1) };
        Some(())
    });
}

#[test]
fn finds_a_doubled_update() {
    finds("applied twice", |records, random| {
        let doubled = pick(random, find(records, is_update))?;
        let value = appended(&records[doubled])?;
        let mut seen = false;
        for observation in records.iter_mut().flat_map(|record| &mut record.observed) {
            if let Observation::List(values) = observation
                && let Some(at) = values.iter().position(|&other| other == value)
            {
                values.insert(at + 1, value);
                seen = true;
            }
        }
        seen.then_some(())
    });
}

#[test]
fn finds_a_refused_update_that_happened() {
    finds("refused, and there", |records, random| {
        let at = pick(random, find(records, |record| is_update(record) && appended(record).is_some()))?;
        records[at].kind = Kind::Refused;
        records[at].observed.clear();
        Some(())
    });
}

#[test]
fn finds_an_update_before_its_own_past() {
    finds("began after an answer, stands before it", |records, random| {
        let at = pick(random, find(records, is_update))?;
        let (id, place) = (records[at].id.clone(), records[at].place()?);
        for record in records.iter_mut().filter(|record| record.id == id) {
            record.invoked_ns += 1_000_000;
            record.completed_ns += 1_000_001;
        }
        records.iter().any(|record| is_update(record) && record.place() > Some(place)).then_some(())
    });
}

#[test]
fn finds_two_transactions_at_one_place() {
    let mut records = history(7, LENGTH);
    let once = |record: &Record| records.iter().filter(|other| other.id == record.id).count() == 1;
    let updates = find(&records, |record| is_update(record) && once(record));
    records[updates[1]].kind = records[updates[0]].kind;
    assert!(matches!(check(&records), Err(Violation::SamePlace { .. })));
}

#[test]
fn an_unknown_request_may_be_there_once_and_never_twice() {
    let append = |value| Operation::Append { list: "l0".into(), value };
    let record = |id: &str, at: u64, kind, operations: Vec<Operation>, observed| Record {
        id: id.into(),
        invoked_ns: at,
        completed_ns: at + 1,
        operations,
        observed,
        kind,
    };
    let read = |observed: Vec<u64>| {
        let kind = Kind::Query { position: 9, consistency: Consistency::Any };
        let operations = vec![Operation::ReadList { list: "l0".into() }];
        record("read", 10, kind, operations, vec![Observation::List(observed)])
    };
    let known = record(
        "known",
        2,
        Kind::Update(Place { position: 5, index: 0 }),
        vec![append(1)],
        vec![Observation::List(Vec::new())],
    );
    let unknown = record("unknown", 3, Kind::Unknown, vec![append(2)], Vec::new());
    for (seen, right) in [(vec![1], true), (vec![1, 2], true), (vec![1, 2, 2], false), (vec![2, 1], false)] {
        let verdict = check(&[known.clone(), unknown.clone(), read(seen.clone())]);
        assert_eq!(verdict.is_ok(), right, "{seen:?}: {verdict:?}");
    }
}
