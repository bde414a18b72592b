//! The council against stories, and against random histories of who speaks, dies and accuses.

use super::*;
use proptest::prelude::*;

const LOST_MS: u64 = 500;

fn key() -> CspKey {
    CspKey { group: "g".to_owned(), csp: "a".to_owned() }
}

fn charge(incarnation: Option<&str>) -> Charge {
    Charge { incarnation: incarnation.map(str::to_owned), evidence: "nobody listens".to_owned(), deserted: true }
}

fn charges(incarnation: Option<&str>) -> Charges {
    Charges::from([(key(), charge(incarnation))])
}

/// `me`, one of three, with others that were heard at 1,000 and accuse nobody.
fn council(others: &[&str]) -> Council {
    council_of(3, others)
}

fn council_of(defined: usize, others: &[&str]) -> Council {
    let mut council = Council::new("me".to_owned(), defined, LOST_MS, 0);
    for other in others {
        council.hear(other, Charges::new(), 1_000);
    }
    council
}

fn is_condemned(council: &Council, now_ms: u64) -> bool {
    council.verdict(&key(), Some("1"), now_ms).is_some()
}

#[test]
fn one_of_three_is_not_enough_and_two_are() {
    let mut council = council(&["b", "c"]);
    assert!(council.charge(&key(), Some(charge(Some("1")))));
    assert!(!council.charge(&key(), Some(charge(Some("1")))), "no news");
    assert!(!is_condemned(&council, 1_000));
    council.hear("c", charges(Some("1")), 1_001);
    let verdict = council.verdict(&key(), Some("1"), 1_001).unwrap();
    assert_eq!(verdict.concurring, ["c", "me"]);
    assert_eq!(verdict.evidence, ["nobody listens"]);
}

#[test]
fn that_nobody_listens_is_said_by_any_that_concurs() {
    let silent = || Charge { deserted: false, ..charge(Some("1")) };
    let mut council = council(&["b", "c"]);
    council.charge(&key(), Some(silent()));
    council.hear("c", Charges::from([(key(), silent())]), 1_001);
    assert!(!council.verdict(&key(), Some("1"), 1_001).unwrap().deserted);
    council.hear("b", charges(Some("0")), 1_002);
    assert!(!council.verdict(&key(), Some("1"), 1_002).unwrap().deserted, "that was said of another process");
    council.hear("b", charges(Some("1")), 1_003);
    assert!(council.verdict(&key(), Some("1"), 1_003).unwrap().deserted);
}

#[test]
fn two_others_condemn_without_us() {
    let mut council = council(&["b", "c"]);
    council.hear("b", charges(Some("1")), 1_000);
    council.hear("c", charges(None), 1_000);
    assert!(is_condemned(&council, 1_000));
}

#[test]
fn the_dead_have_no_voice_and_are_counted() {
    let mut council = council(&["b", "c"]);
    council.charge(&key(), Some(charge(Some("1"))));
    council.hear("b", charges(Some("1")), 1_000 + LOST_MS - 1);
    council.hear("c", charges(Some("1")), 1_000);
    assert!(is_condemned(&council, 1_000 + LOST_MS));
    assert!(council.charge(&key(), None));
    assert!(!is_condemned(&council, 1_000 + LOST_MS), "b is one of three");
}

#[test]
fn one_that_hears_nobody_condemns_nobody_unless_it_is_the_only_one() {
    for (defined, condemns) in [(1, true), (2, false), (3, false), (5, false)] {
        let mut council = council_of(defined, &["b", "c"]);
        council.charge(&key(), Some(charge(Some("1"))));
        assert_eq!(is_condemned(&council, 1_000 + LOST_MS), condemns, "one of {defined}");
    }
}

#[test]
fn those_who_live_are_too_few_where_all_of_them_together_condemn_nobody() {
    for (defined, heard) in [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (4, 1), (4, 2), (5, 1), (5, 2), (1, 2)] {
        let mut council = council_of(defined, &["b", "c"][..heard]);
        council.charge(&key(), Some(charge(Some("1"))));
        for other in &["b", "c"][..heard] {
            council.hear(other, charges(Some("1")), 1_000);
        }
        let living = heard + 1;
        let too_few = Some(living).filter(|_| !is_condemned(&council, 1_000));
        assert_eq!(council.too_few(1_000), too_few, "{living} of {defined}");
    }
}

#[test]
fn where_more_are_heard_than_were_defined_all_count() {
    let mut council = council_of(1, &["b", "c"]);
    assert_eq!(council.too_many(1_000), Some(3));
    council.charge(&key(), Some(charge(Some("1"))));
    assert!(!is_condemned(&council, 1_000));
    council.hear("b", charges(Some("1")), 1_000);
    assert!(is_condemned(&council, 1_000));
}

#[test]
fn a_new_process_is_not_condemned_for_the_old_one() {
    let mut council = council_of(2, &["b"]);
    council.charge(&key(), Some(charge(Some("1"))));
    council.hear("b", charges(Some("1")), 1_000);
    assert!(council.verdict(&key(), Some("2"), 1_000).is_none());
    assert!(council.verdict(&key(), None, 1_000).is_some(), "we never heard any");
}

#[test]
fn one_that_comes_for_the_first_time_is_not_condemned_for_its_absence() {
    let mut council = council(&["b", "c"]);
    council.hear("b", charges(None), 1_000);
    council.hear("c", charges(None), 1_000);
    assert!(council.verdict(&key(), None, 1_000).is_some());
    assert!(!is_condemned(&council, 1_000), "we have heard it, and nobody else has");
    council.charge(&key(), Some(charge(Some("1"))));
    assert!(is_condemned(&council, 1_000));
}

#[test]
fn one_that_was_blind_waits_until_everybody_has_spoken() {
    let mut council = council(&["b", "c"]);
    council.charge(&key(), Some(charge(Some("1"))));
    council.blind(60_000);
    assert!(!is_condemned(&council, 60_000 + LOST_MS - 1));
    council.hear("b", Charges::new(), 60_000 + LOST_MS - 1);
    assert!(!is_condemned(&council, 60_000 + LOST_MS), "b lives and does not concur");
}

#[test]
fn the_eldest_of_those_who_live_speaks_for_all() {
    let council = council(&["b", "z"]);
    assert!(!council.is_eldest(1_000));
    assert!(council.is_eldest(1_000 + LOST_MS));
}

#[test]
fn strangers_do_not_fill_the_memory() {
    let mut council = council(&[]);
    for number in 0..1_000 {
        council.hear(&number.to_string(), charges(None), 1_000);
    }
    assert_eq!(council.others.len(), VOICES_MAX);
}

#[derive(Debug, Clone)]
enum Event {
    /// Another one speaks, and accuses this process (none: accuses nobody; 0: whoever bears the name).
    Speak(usize, Option<u8>),
    /// We accuse, or take it back.
    Own(Option<u8>),
    Blind,
}

fn accused() -> impl Strategy<Value = Option<u8>> {
    prop::option::of(0u8..3)
}

fn event() -> impl Strategy<Value = (u64, Event)> {
    let event = prop_oneof![
        8 => (0usize..4, accused()).prop_map(|(who, accused)| Event::Speak(who, accused)),
        2 => accused().prop_map(Event::Own),
        1 => Just(Event::Blind),
    ];
    (0u64..300, event)
}

fn name(number: u8) -> Option<String> {
    (number > 0).then(|| number.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A verdict exactly if more than half of those who are defined, and of those who live, accuse the process, one of them by its
    /// own name, and everybody had the time to speak.
    #[test]
    fn a_verdict_is_a_majority_of_those_who_are_defined(
        defined in 1usize..6,
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut council = Council::new("me".to_owned(), defined, LOST_MS, 0);
        let mut others: [Option<(u64, Option<u8>)>; 4] = [None; 4];
        let (mut own, mut now, mut open_at) = (None, 0, LOST_MS);
        for (wait, event) in events {
            now += wait;
            match event {
                Event::Speak(who, accused) => {
                    others[who] = Some((now, accused));
                    let spoken = accused.map(|number| charges(name(number).as_deref())).unwrap_or_default();
                    council.hear(&format!("other-{who}"), spoken, now);
                }
                Event::Own(accused) => {
                    own = accused;
                    council.charge(&key(), accused.map(|number| charge(name(number).as_deref())));
                }
                Event::Blind => {
                    // Who was lost before we were blind may have been forgotten or not: both are safe, so ask first.
                    council.forget_lost(now);
                    open_at = now + LOST_MS;
                    for other in &mut others {
                        *other = other.filter(|(at, _)| now - at < LOST_MS).map(|(_, accused)| (now, accused));
                    }
                    council.blind(now);
                }
            }
            let living: Vec<_> =
                others.iter().flatten().filter(|(at, _)| now - at < LOST_MS).map(|(_, accused)| *accused).chain([own]).collect();
            for process in 1u8..3 {
                let accusers = living.iter().filter(|accused| matches!(accused, Some(number) if *number == 0 || *number == process));
                let named = living.contains(&Some(process));
                let expected = now >= open_at && named && accusers.clone().count() * 2 > living.len().max(defined);
                let verdict = council.verdict(&key(), Some(&process.to_string()), now);
                prop_assert_eq!(verdict.is_some(), expected);
                if let Some(verdict) = verdict {
                    prop_assert_eq!(verdict.concurring.len(), accusers.count());
                }
            }
        }
    }
}
