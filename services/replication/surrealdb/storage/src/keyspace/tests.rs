//! What a key is, by its bytes.

use super::*;

fn key(tail: &[u8]) -> Vec<u8> {
    [b"/*\0\0\0\x01*\0\0\0\x02".as_slice(), tail].concat()
}

#[test]
fn records_edges_entries_and_definitions_are_observable() {
    for tail in [
        b"*person\0*x".as_slice(),
        b"*person\0~x",
        b"*person\0&x",
        b"*person\0+\0\0\0\x01*x",
        b"!tbperson\0",
        b"*person\0!fdname\0",
        b"*person\0!cex",
        b"*person\0+\0\0\0\x01!txword\0",
    ] {
        assert!(is_observable(&key(tail)), "{tail:?}");
    }
    assert!(is_observable(b"/!nsmain\0"));
}

#[test]
fn index_entries_are_told_from_records_and_definitions() {
    assert!(is_index_entry(&key(b"*person\0+\0\0\0\x01*x")));
    for tail in [b"*person\0*+\0\0\0\x01*".as_slice(), b"*person\0+\0\0\0\x01!tdx", b"*person\0!ixname\0", b"+x", b""] {
        assert!(!is_index_entry(&key(tail)), "{tail:?}");
    }
}

#[test]
fn a_key_of_a_table_is_taken_apart() {
    let record = key(b"*person\0*x");
    let found = under_table(&record).expect("it is one of a table");
    assert_eq!(found.records(), (key(b"*person\0*"), key(b"*person\0+")));
    assert_eq!(found.definition(), key(b"!tbperson\0"));
    assert_eq!(under_definition(&found.definition()), Some((key(b"*person\0"), key(b"*person\x01"))));
    assert_eq!((found.named_index(), found.index_in_build(), found.index_begun()), (None, None, None));
    let index = Some(key(b"*person\0\0\0\0\x07"));
    let named = key(b"*person\0!il\0\0\0\x07");
    assert_eq!(under_table(&named).and_then(|found| found.named_index()), index);
    let state = key(b"*person\0!bs\0\0\0\x07");
    assert_eq!(under_table(&state).and_then(|found| found.index_in_build()), index);
    let ticket = key(b"*person\0!bt\0\0\0\x07\0\0\0\0\0\0\0\x01");
    assert_eq!(under_table(&ticket).and_then(|found| found.index_begun()), index);
    for tail in [b"!tbperson\0".as_slice(), b"*person!ix", b"", b"*"] {
        assert_eq!(under_table(&key(tail)), None, "{tail:?}");
    }
    assert_eq!(under_table(b"/!nsmain\0"), None);
    assert_eq!(under_definition(&record), None);
}

#[test]
fn bookkeeping_is_not_observable() {
    for tail in [
        b"!th\0".as_slice(),
        b"!sdx\0",
        b"!sqx\0!ba",
        b"*person\0!dh",
        b"*person\0!bs",
        b"*person\0+\0\0\0\x01!hs",
        b"*person\0+\0\0\0\x01!dx",
    ] {
        assert!(!is_observable(&key(tail)), "{tail:?}");
    }
    for key in [b"/!nd\x01".as_slice(), b"/!tl\x01", b"/$\x01", b"!v", &reserved::APPLIED] {
        assert!(!is_observable(key), "{key:?}");
    }
}

#[test]
fn a_stamp_replaces_the_placeholder_and_sorts_as_its_number() {
    let mut earlier = [key(b"#").as_slice(), STAMP_PLACEHOLDER, b"\0*person\0"].concat();
    let mut later = earlier.clone();
    assert!(is_changefeed_placeholder(&earlier));
    place_stamp(&mut earlier, 255);
    place_stamp(&mut later, 4096);
    assert!(!is_changefeed_placeholder(&earlier));
    assert!(earlier < later);
    assert!(!is_changefeed_placeholder(&key(b"*person\0*zzzzzzzzzzzzzzzzzzzzzz")));
}
