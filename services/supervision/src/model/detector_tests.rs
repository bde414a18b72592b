//! The detector against stories, and against random histories. The council is played by the test: `agreed` is the majority.

use super::*;
use proptest::prelude::*;

const POLICY: Policy = Policy { late_after_ms: 125, suspect_after_ms: 500, status_attempts: 2, hint_pause_ms: 100 };

/// One that was heard at 0.
fn heard() -> Detector {
    let mut detector = Detector::new(POLICY, 0);
    detector.heartbeat(CspState::Available, "1", 0);
    detector
}

/// Ticks every 10 ms from `from` to `to`. When questions came out.
fn ticks(detector: &mut Detector, from: u64, to: u64) -> Vec<u64> {
    (from..=to).step_by(10).filter(|now| detector.tick(*now).is_some()).collect()
}

#[test]
fn it_is_as_it_reports() {
    let mut detector = Detector::new(POLICY, 0);
    assert_eq!(detector.state(), None);
    detector.heartbeat(CspState::Joining, "1", 0);
    assert_eq!((detector.state(), detector.cause()), (Some(CspState::Joining), "heartbeat received"));
    detector.heartbeat(CspState::Available, "1", 100);
    assert_eq!((detector.state(), detector.cause()), (Some(CspState::Available), "reported by the CSP"));
}

#[test]
fn a_dead_process_is_accused_while_it_still_counts_as_reporting() {
    let mut detector = heard();
    assert_eq!(ticks(&mut detector, 10, 130), [130]);
    detector.status(1, StatusOutcome::NoResponders, 131);
    assert!(detector.is_accusing() && detector.is_deserted());
    assert_eq!(detector.state(), Some(CspState::Available), "until there is a majority, or the heartbeats are missed");
    detector.agreed();
    assert_eq!((detector.state(), detector.cause()), (Some(CspState::Unavailable), "no responders"));
    assert_eq!(detector.evidence(), ["no heartbeat for 131 ms", "nobody listens for status requests"]);
    assert_eq!(ticks(&mut detector, 140, 5_000), [] as [u64; 0]);
    detector.heartbeat(CspState::CatchingUp, "2", 5_050);
    assert_eq!((detector.state(), detector.cause()), (Some(CspState::CatchingUp), "heartbeat received"));
    assert!(!detector.is_accusing() && !detector.is_deserted());
}

#[test]
fn a_hanging_process_is_accused_by_time_outs_behind_the_missed_heartbeats() {
    let mut detector = heard();
    assert_eq!(ticks(&mut detector, 10, 330), [130]);
    assert_eq!(detector.status(1, StatusOutcome::Unanswered, 330), None, "too early to count");
    assert_eq!(ticks(&mut detector, 340, 460), [460]);
    assert_eq!(ticks(&mut detector, 470, 660), [] as [u64; 0]);
    assert_eq!(detector.state(), Some(CspState::Suspect));
    assert_eq!(detector.status(2, StatusOutcome::Unanswered, 660), Some(3));
    assert_eq!(detector.status(3, StatusOutcome::Unanswered, 860), None);
    assert!(detector.is_accusing() && !detector.is_deserted());
    detector.agreed();
    assert_eq!(detector.cause(), "heartbeats missed and status request unanswered");
    assert_eq!(detector.evidence(), ["no heartbeat for 500 ms", "2 status requests went unanswered"]);
}

#[test]
fn one_that_answers_is_suspect_and_asked_again() {
    let mut detector = heard();
    ticks(&mut detector, 10, 130);
    detector.status(1, StatusOutcome::Answered, 131);
    assert_eq!(ticks(&mut detector, 140, 260), [260]);
    detector.status(2, StatusOutcome::Answered, 261);
    assert_eq!(ticks(&mut detector, 270, 390), [390]);
    detector.status(3, StatusOutcome::Answered, 391);
    assert_eq!(ticks(&mut detector, 400, 520), [520]);
    assert_eq!((detector.state(), detector.is_accusing()), (Some(CspState::Suspect), false));
}

#[test]
fn an_accusation_that_nobody_shares_makes_it_suspect_and_an_answer_takes_it_back() {
    let mut detector = heard();
    ticks(&mut detector, 10, 130);
    detector.status(1, StatusOutcome::NoResponders, 131);
    assert_eq!(ticks(&mut detector, 140, 260), [260], "asked again");
    detector.status(2, StatusOutcome::NoResponders, 261);
    ticks(&mut detector, 270, 500);
    let cause = "heartbeats missed and no majority to say that it is gone";
    assert_eq!((detector.state(), detector.cause()), (Some(CspState::Suspect), cause));
    detector.status(3, StatusOutcome::Answered, 501);
    assert_eq!((detector.belief(), detector.is_accusing()), (Belief::Suspect, false));
}

#[test]
fn a_hint_asks_at_once_and_not_too_often() {
    let mut detector = heard();
    assert_eq!(detector.hint("a request found nobody", 20), Some(1));
    assert_eq!(detector.hint("a request found nobody", 21), None, "one question at a time");
    detector.status(1, StatusOutcome::Answered, 22);
    assert_eq!(detector.hint("a request found nobody", 23), None, "it has just answered");
    assert_eq!(detector.hint("a request found nobody", 120), Some(2));
    assert!(!detector.is_accusing(), "a hint alone condemns nobody");
    detector.status(2, StatusOutcome::NoResponders, 121);
    assert!(detector.is_accusing());
}

#[test]
fn our_own_blindness_is_not_its_silence_and_disarms_what_is_early() {
    let mut detector = heard();
    ticks(&mut detector, 10, 130);
    detector.blind(60_000);
    assert_eq!(detector.status(1, StatusOutcome::NoResponders, 60_001), None);
    assert!(!detector.is_accusing(), "asked before we were blind");
    assert_eq!(detector.hint("a request found nobody", 60_100), None);
    assert_eq!(ticks(&mut detector, 60_010, 60_490), [] as [u64; 0]);
    assert_eq!(ticks(&mut detector, 60_500, 60_500), [60_500]);
    detector.heartbeat(CspState::Available, "1", 60_510);
    assert_eq!(ticks(&mut detector, 60_520, 60_640), [60_640], "armed again");
}

#[test]
fn an_accusation_does_not_outlive_our_sight() {
    let mut detector = heard();
    ticks(&mut detector, 10, 130);
    detector.status(1, StatusOutcome::NoResponders, 131);
    detector.blind(140);
    assert_eq!((detector.belief(), detector.is_accusing()), (Belief::Suspect, false));
}

#[test]
fn one_condemned_by_others_is_still_looked_at() {
    let mut detector = heard();
    detector.agreed();
    assert_eq!(detector.cause(), "held for gone by a majority of the supervisors");
    assert_eq!(ticks(&mut detector, 10, 130), [130]);
    detector.status(1, StatusOutcome::NoResponders, 131);
    assert!(detector.is_accusing());
    assert_eq!(ticks(&mut detector, 140, 5_000), [] as [u64; 0]);
}

#[test]
fn one_that_was_never_heard_is_asked_when_its_heartbeats_are_missed() {
    let mut detector = Detector::new(POLICY, 0);
    assert_eq!(ticks(&mut detector, 10, 500), [500]);
    assert_eq!((detector.state(), detector.cause()), (Some(CspState::Suspect), "no heartbeat yet"));
    detector.status(1, StatusOutcome::NoResponders, 501);
    assert!(detector.is_accusing());
    assert_eq!(detector.incarnation(), None);
}

#[derive(Debug, Clone)]
enum Event {
    Heartbeat(bool),
    Tick,
    Blind,
    Hint,
    Agreed,
    Status(StatusOutcome),
    Stale(StatusOutcome),
}

fn outcome() -> impl Strategy<Value = StatusOutcome> {
    prop_oneof![
        Just(StatusOutcome::Answered),
        Just(StatusOutcome::Unanswered),
        Just(StatusOutcome::NoResponders),
        Just(StatusOutcome::NotAsked),
    ]
}

fn event() -> impl Strategy<Value = (u64, Event)> {
    let event = prop_oneof![
        2 => any::<bool>().prop_map(Event::Heartbeat),
        8 => Just(Event::Tick),
        1 => Just(Event::Blind),
        1 => Just(Event::Hint),
        1 => Just(Event::Agreed),
        4 => outcome().prop_map(Event::Status),
        1 => outcome().prop_map(Event::Stale),
    ];
    (0u64..200, event)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// We accuse only on an answer to an open question that says so: nobody listens, or time-outs behind missed heartbeats.
    /// Unavailable only on a majority, and out of it only by a heartbeat. At most one question is open, none early about one
    /// that was not heard since we were blind, and a heartbeat always takes everything back.
    #[test]
    fn two_signals_before_every_accusation(events in prop::collection::vec(event(), 1..120)) {
        let mut detector = Detector::new(POLICY, 0);
        let (mut now, mut heard_at, mut armed) = (0u64, 0u64, false);
        let mut open: Option<u64> = None;
        for (wait, event) in events {
            now += wait;
            let (was_accusing, before) = (detector.is_accusing(), detector.state());
            let mut asked = None;
            match &event {
                Event::Heartbeat(serving) => {
                    (heard_at, armed, open) = (now, true, None);
                    let state = if *serving { CspState::Available } else { CspState::Draining };
                    detector.heartbeat(state, "1", now);
                    prop_assert_eq!(detector.state(), Some(state));
                    prop_assert!(!detector.is_accusing());
                }
                Event::Blind => {
                    (heard_at, armed, open) = (now, false, None);
                    detector.blind(now);
                    prop_assert!(!detector.is_accusing());
                }
                Event::Tick => asked = detector.tick(now),
                Event::Hint => asked = detector.hint("somebody found nobody", now),
                Event::Agreed => {
                    detector.agreed();
                    prop_assert_eq!(detector.state(), Some(CspState::Unavailable));
                }
                Event::Status(outcome) => {
                    let Some(question) = open.take() else { continue };
                    asked = detector.status(question, *outcome, now);
                    if detector.is_accusing() && !was_accusing {
                        let missed = now - heard_at >= POLICY.suspect_after_ms;
                        let enough = *outcome == StatusOutcome::NoResponders
                            || (*outcome == StatusOutcome::Unanswered && missed);
                        prop_assert!(enough, "{:?}", outcome);
                        prop_assert!(!detector.evidence().is_empty());
                    }
                }
                Event::Stale(outcome) => {
                    let question = open.unwrap_or(1).saturating_sub(1);
                    prop_assert_eq!(detector.status(question, *outcome, now), None);
                    prop_assert_eq!(detector.is_accusing(), was_accusing);
                }
            }
            if let Some(question) = asked {
                prop_assert!(open.is_none(), "one question at a time");
                prop_assert!(armed || now - heard_at >= POLICY.suspect_after_ms);
                open = Some(question);
            }
            if !was_accusing && detector.is_accusing() {
                prop_assert!(matches!(event, Event::Status(_)));
            }
            if detector.state() == Some(CspState::Unavailable) && before != detector.state() {
                prop_assert!(matches!(event, Event::Agreed));
            }
            if before == Some(CspState::Unavailable) && detector.state() != before {
                prop_assert!(matches!(event, Event::Heartbeat(_)));
            }
            prop_assert!(detector.state().is_none() || !detector.cause().is_empty());
        }
    }
}
