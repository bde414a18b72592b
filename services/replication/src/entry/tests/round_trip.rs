//! What is encoded is what is decoded, in one message or in many, packed or not.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{HEADER, Owned, open, seal, transaction};
use crate::entry::{BatchEncoder, Control, Entry, EntryHeader, Isolation, Message, Replication, SenderClock};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn transactions_come_back_as_they_were(transactions in vec(transaction(), 0..8), message_max in 16_usize..4_000) {
        let messages = seal(&transactions, message_max);
        let batch = open(&messages).unwrap();
        let decoded: Vec<Owned> = batch.iter().map(Owned::of).collect();
        prop_assert_eq!(decoded, transactions);
        for (part, message) in messages.iter().enumerate() {
            let entry = Entry::decode(message.clone()).unwrap();
            prop_assert_eq!((entry.part() as usize, entry.parts() as usize), (part, messages.len()));
            prop_assert_eq!(entry.number(), HEADER.number + part as u64);
            prop_assert_eq!(entry.is_last_part(), part + 1 == messages.len());
        }
    }
}

#[test]
fn the_outside_comes_back_as_it_was() {
    let entry = Entry::decode(seal(&[], 1_000)[0].clone()).unwrap();
    assert_eq!(entry.csp(), HEADER.csp);
    assert_eq!((entry.epoch(), entry.incarnation(), entry.number()), (HEADER.epoch, HEADER.incarnation, HEADER.number));
    assert_eq!((entry.base(), entry.base_chain()), (HEADER.base, HEADER.base_chain));
    assert_eq!((entry.storage_version(), entry.body_length()), (HEADER.storage_version, 0));
}

#[test]
fn the_clock_comes_back_and_what_passed_is_told_once() {
    let clock = SenderClock { wall_ms: 1_790_000_000_000, since_us: 1_234 };
    let mut encoder = BatchEncoder::new();
    Owned { results: Some(vec![7; 400]), ..blank() }.push_to(&mut encoder).unwrap();
    let messages = encoder.finish(&EntryHeader { clock: Some(clock), ..HEADER }, 100).unwrap();
    let clocks: Vec<_> = messages.iter().map(|message| Entry::decode(message.clone()).unwrap().clock()).collect();
    assert!(clocks.len() > 1);
    assert_eq!(clocks[0], Some(clock));
    assert!(clocks[1..].iter().all(|later| *later == Some(SenderClock { since_us: 0, ..clock })));
    assert_eq!(Entry::decode(seal(&[], 1_000)[0].clone()).unwrap().clock(), None);
}

#[test]
fn bodies_are_packed_when_that_pays() {
    let with_value = |value: Vec<u8>| Owned {
        writes: vec![(b"key".to_vec(), Some(value), false)],
        ..Owned::of(open(&seal(&[blank()], 1_000)).unwrap().get(0).unwrap())
    };
    let repeated = seal(&[with_value(vec![7; 4_000])], 1 << 20);
    assert!(repeated[0].len() < 400, "repeated bytes take {} bytes", repeated[0].len());
    let mut noise = 1_u32;
    let random = (0..4_000).map(|_| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    });
    let random = seal(&[with_value(random.collect())], 1 << 20);
    assert!((4_000..4_200).contains(&random[0].len()), "noise takes {} bytes", random[0].len());
}

#[test]
fn a_body_that_was_not_packed_is_not_copied() {
    let message = seal(&[blank()], 1_000)[0].clone();
    let body = Entry::decode(message.clone()).unwrap().body().unwrap();
    assert!(message.as_ptr_range().contains(&body.as_ptr()));
}

#[test]
fn control_messages_are_told_apart() {
    let decode = |text: &'static str| Message::decode(text.as_bytes().into());
    let define = r#"{"type":"io.holdfast.replication.v1.log_control","kind":"define","group":"g","replication":"peer","isolation":"snapshot","ids_kept_ms":600000}"#;
    let expected = Control::Define {
        group: "g".to_owned(),
        replication: Replication::Peer,
        isolation: Isolation::Snapshot,
        ids_kept_ms: 600_000,
    };
    assert!(matches!(decode(define), Ok(Message::Control(control)) if control == expected));
    let epoch = decode(r#"{"kind":"epoch","epoch":2,"primary":"a"}"#);
    assert!(matches!(epoch, Ok(Message::Control(Control::Epoch { epoch: 2, primary })) if primary == "a"));
    for foreign in ["", "hello", "{", "{}", r#"{"kind":5}"#, r#"{"name":"define"}"#] {
        assert!(matches!(decode(foreign), Ok(Message::Foreign)), "{foreign}");
    }
    for unknown in
        [r#"{"kind":"merge"}"#, r#"{"kind":"epoch","epoch":2}"#, r#"{"kind":"epoch","epoch":-1,"primary":"a"}"#]
    {
        assert!(decode(unknown).is_err_and(|error| !error.is_newer()), "{unknown}");
    }
}

pub(super) fn blank() -> Owned {
    Owned {
        local: 1,
        snapshot: 2,
        stamped: false,
        serializable: false,
        id: None,
        results: None,
        writes: Vec::new(),
        locked: Vec::new(),
        reads: Vec::new(),
        ranges: Vec::new(),
    }
}
