//! Bytes that were once written to a log are read for ever. These files never change; a new version gets a new folder.

use bytes::Bytes;

use super::round_trip::blank;
use super::{HEADER, Owned, open, seal};

fn all_fields() -> Vec<Owned> {
    vec![
        Owned {
            local: 300,
            snapshot: 70_000,
            stamped: true,
            serializable: true,
            id: Some("01J0000000000000000000000A".to_owned()),
            results: Some(b"[1]".to_vec()),
            writes: vec![
                (b"/*a".to_vec(), Some(b"one".to_vec()), false),
                (b"/*b".to_vec(), None, false),
                (b"/*c#ffff".to_vec(), Some(Vec::new()), true),
            ],
            locked: vec![b"/*l".to_vec()],
            reads: vec![b"/*r".to_vec(), Vec::new()],
            ranges: vec![(b"/*s".to_vec(), b"/*t".to_vec())],
        },
        blank(),
    ]
}

fn large() -> Vec<Owned> {
    let writes = (0..60_u32).map(|n| (format!("/*table*row{n:04}").into_bytes(), Some(vec![n as u8; 40]), false));
    vec![Owned { writes: writes.collect(), ..blank() }]
}

#[test]
fn version_1_plain() {
    let message: &[u8] = include_bytes!("../../../fixtures/entry/v1/plain.bin");
    check(&[message], &all_fields());
    assert_eq!(seal(&all_fields(), 1 << 20), [message], "plain bodies are also encoded as they were");
}

#[test]
fn version_1_packed() {
    check(&[include_bytes!("../../../fixtures/entry/v1/packed.bin")], &large());
}

#[test]
fn version_1_parts() {
    let parts: [&[u8]; 3] = [
        include_bytes!("../../../fixtures/entry/v1/part-0.bin"),
        include_bytes!("../../../fixtures/entry/v1/part-1.bin"),
        include_bytes!("../../../fixtures/entry/v1/part-2.bin"),
    ];
    check(&parts, &large());
}

fn check(messages: &[&'static [u8]], expected: &[Owned]) {
    let messages: Vec<Bytes> = messages.iter().map(|message| Bytes::from_static(message)).collect();
    let decoded: Vec<Owned> = open(&messages).unwrap().iter().map(Owned::of).collect();
    assert_eq!(decoded, expected);
    let outside = crate::entry::Entry::decode(messages[0].clone()).unwrap();
    assert_eq!((outside.csp(), outside.number(), outside.base()), (HEADER.csp, HEADER.number, HEADER.base));
    assert_eq!((outside.epoch(), outside.incarnation()), (HEADER.epoch, HEADER.incarnation));
    assert_eq!((outside.storage_version(), outside.base_chain()), (HEADER.storage_version, HEADER.base_chain));
}
