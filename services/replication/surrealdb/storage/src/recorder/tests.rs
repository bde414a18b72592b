//! The recorder against a model that keeps a full copy at every savepoint.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Write(u8, Option<u8>),
    Open,
    Release,
    RollBack,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8_u8, proptest::option::of(0..4_u8)).prop_map(|(key, value)| Step::Write(key, value)),
        2 => Just(Step::Open),
        1 => Just(Step::Release),
        1 => Just(Step::RollBack),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn savepoints_undo_what_a_full_copy_would(steps in proptest::collection::vec(step(), 0..60)) {
        let mut recorder = Recorder::new(false);
        let mut model: BTreeMap<Vec<u8>, Value> = BTreeMap::new();
        let mut copies = Vec::new();
        for step in steps {
            match step {
                Step::Write(key, value) => {
                    let value = value.map(|byte| vec![byte]);
                    recorder.wrote(&[key], value.clone());
                    model.insert(vec![key], value);
                }
                Step::Open => { recorder.open_scope(); copies.push(model.clone()); }
                Step::Release => { recorder.release_scope(); copies.pop(); }
                Step::RollBack => {
                    recorder.roll_back_scope();
                    if let Some(copy) = copies.pop() { model = copy; }
                }
            }
        }
        let written: BTreeMap<_, _> = recorder.into_write_set(1, None).writes.into_iter().collect();
        prop_assert_eq!(written, model);
    }

    #[test]
    fn merged_ranges_cover_the_same_keys(ranges in proptest::collection::vec((0..40_u8, 0..40_u8), 0..12), probe in 0..40_u8) {
        let ranges: Vec<_> = ranges.into_iter().filter(|(start, end)| start < end).map(|(start, end)| (vec![start], vec![end])).collect();
        let inside = ranges.iter().any(|(start, end)| start.as_slice() <= [probe].as_slice() && [probe].as_slice() < end.as_slice());
        prop_assert_eq!(covers(&merge(ranges), &[probe]), inside);
    }
}

#[test]
fn reads_are_kept_only_where_they_are_certified_and_add_something() {
    let mut recorder = Recorder::new(true);
    for key in [b"a", b"b", b"c", b"d"] {
        recorder.read(key);
    }
    recorder.locked(b"b");
    recorder.wrote(b"a", Some(vec![1]));
    recorder.read_range(b"d", b"e");
    let write_set = recorder.into_write_set(7, None);
    assert_eq!(write_set.reads, vec![b"c".to_vec()]);
    assert_eq!(write_set.locked, vec![b"b".to_vec()]);
    let mut recorder = Recorder::new(false);
    recorder.read(b"a");
    recorder.read_range(b"a", b"b");
    let write_set = recorder.into_write_set(7, None);
    assert!(write_set.reads.is_empty() && write_set.ranges.is_empty());
}

fn table_key(tail: &[u8]) -> Vec<u8> {
    [b"/*\0\0\0\x01*\0\0\0\x02".as_slice(), tail].concat()
}

#[test]
fn records_hold_the_definition_of_their_table_where_reads_are_not_certified() {
    let records = [b"*item\0*1".as_slice(), b"*item\0*2", b"*item\0+\0\0\0\x01*x", b"*person\0~x", b"*other\0!ce"];
    for (certifies, locked) in [(false, vec![table_key(b"!tbitem\0"), table_key(b"!tbperson\0")]), (true, Vec::new())] {
        let mut recorder = Recorder::new(certifies);
        records.iter().for_each(|tail| recorder.wrote(&table_key(tail), Some(vec![1])));
        let write_set = recorder.into_write_set(7, None);
        assert_eq!((write_set.locked, write_set.ranges), (locked, Vec::new()));
    }
    // Who wrote the definition itself has it certified already.
    let mut recorder = Recorder::new(false);
    recorder.wrote(&table_key(b"!tbitem\0"), Some(vec![1]));
    recorder.wrote(&table_key(b"*item\0*1"), Some(vec![1]));
    assert!(recorder.into_write_set(7, None).locked.is_empty());
}

#[test]
fn views_and_removed_tables_name_all_records_where_reads_are_not_certified() {
    let mut recorder = Recorder::new(false);
    recorder.wrote(&table_key(b"*item\0!ftview\0"), Some(vec![1]));
    recorder.wrote(&table_key(b"!tbgone\0"), None);
    recorder.wrote(&table_key(b"!tbkept\0"), Some(vec![1]));
    let named =
        vec![(table_key(b"*gone\0"), table_key(b"*gone\x01")), (table_key(b"*item\0*"), table_key(b"*item\0+"))];
    assert_eq!(recorder.into_write_set(7, None).ranges, named);
}

#[test]
fn what_was_rolled_back_is_not_within() {
    let records = (table_key(b"*item\0*"), table_key(b"*item\0+"));
    let mut recorder = Recorder::new(true);
    recorder.open_scope();
    recorder.wrote(&table_key(b"*item\0*1"), None);
    assert!(recorder.wrote_within(&records));
    recorder.roll_back_scope();
    recorder.wrote(&table_key(b"*item\0+\0\0\0\x01*x"), None);
    assert!(!recorder.wrote_within(&records));
}
