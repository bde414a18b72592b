//! The detector against stories, and against random histories.

use super::*;
use proptest::prelude::*;

const POLICY: Policy = Policy { suspect_after_ms: 750, status_attempts: 2, blind_after_ms: 500 };

fn detector() -> Detector {
    Detector::new(POLICY, 0)
}

/// Ticks every 100 ms from `from` to `to`, and returns what came out.
fn ticks(detector: &mut Detector, from: u64, to: u64) -> Vec<Effect> {
    (from..=to).step_by(100).flat_map(|now| detector.tick(true, now)).collect()
}

fn changed(state: CspState, cause: &'static str) -> Effect {
    Effect::Changed { state, cause }
}

#[test]
fn reports_as_the_csp_reports() {
    let mut detector = detector();
    assert_eq!(detector.heartbeat(CspState::Joining, 0), [changed(CspState::Joining, "heartbeat received")]);
    assert_eq!(detector.heartbeat(CspState::Joining, 250), []);
    assert_eq!(detector.heartbeat(CspState::Available, 500), [changed(CspState::Available, "reported by the CSP")]);
}

#[test]
fn a_dead_process_is_unavailable_at_no_responders() {
    let mut detector = detector();
    detector.heartbeat(CspState::Available, 0);
    let effects = ticks(&mut detector, 100, 800);
    assert_eq!(effects, [changed(CspState::Suspect, "heartbeats missed"), Effect::AskStatus { question: 1 }]);
    let effects = detector.status(1, StatusOutcome::NoResponders, 801);
    assert_eq!(effects, [changed(CspState::Unavailable, "heartbeats missed and no responders")]);
    assert_eq!(ticks(&mut detector, 900, 5_000), []);
    assert_eq!(detector.heartbeat(CspState::CatchingUp, 5_050), [changed(CspState::CatchingUp, "heartbeat received")]);
}

#[test]
fn a_hanging_process_is_asked_as_often_as_the_policy_says() {
    let mut detector = detector();
    detector.heartbeat(CspState::Available, 0);
    ticks(&mut detector, 100, 800);
    assert_eq!(detector.status(1, StatusOutcome::Unanswered, 1_100), [Effect::AskStatus { question: 2 }]);
    let effects = detector.status(2, StatusOutcome::Unanswered, 1_400);
    assert_eq!(effects, [changed(CspState::Unavailable, "heartbeats missed and status request unanswered")]);
}

#[test]
fn one_that_answers_stays_suspect_and_is_asked_again() {
    let mut detector = detector();
    detector.heartbeat(CspState::Available, 0);
    ticks(&mut detector, 100, 800);
    assert_eq!(detector.status(1, StatusOutcome::Answered, 810), []);
    assert_eq!(detector.state(), Some(CspState::Suspect));
    assert_eq!(ticks(&mut detector, 900, 1_500), []);
    assert_eq!(ticks(&mut detector, 1_600, 1_600), [Effect::AskStatus { question: 2 }]);
}

#[test]
fn our_own_blindness_is_not_its_silence() {
    let mut detector = detector();
    detector.heartbeat(CspState::Available, 0);
    detector.tick(true, 100);
    assert_eq!(detector.tick(true, 60_000), [], "we were paused");
    assert_eq!(detector.tick(false, 60_100), []);
    assert_eq!(ticks(&mut detector, 60_200, 60_800), [], "silence counts from the reconnect");
    assert_eq!(ticks(&mut detector, 60_900, 60_900).len(), 2);
    assert_eq!(detector.status(1, StatusOutcome::NotAsked, 61_000), []);
    assert_eq!(detector.state(), Some(CspState::Suspect));
}

#[test]
fn a_csp_that_was_never_heard_becomes_unavailable() {
    let mut detector = detector();
    let effects = ticks(&mut detector, 100, 800);
    assert_eq!(effects.first(), Some(&changed(CspState::Suspect, "no heartbeat yet")));
    detector.status(1, StatusOutcome::NoResponders, 800);
    assert_eq!(detector.state(), Some(CspState::Unavailable));
}

#[derive(Debug, Clone)]
enum Event {
    Heartbeat(bool),
    Tick { connected: bool },
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
        6 => prop::bool::weighted(0.9).prop_map(|connected| Event::Tick { connected }),
        2 => outcome().prop_map(Event::Status),
        1 => outcome().prop_map(Event::Stale),
    ];
    (0u64..700, event)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Unavailable only after enough silence while we could see, and after an asked question went unanswered;
    /// no effect repeats the state that was there; at most one question is open.
    #[test]
    fn two_signals_before_every_verdict(events in prop::collection::vec(event(), 1..120)) {
        let mut detector = detector();
        let (mut now, mut last_sign, mut open) = (0u64, 0u64, None);
        let mut state = None;
        for (wait, event) in events {
            now += wait;
            let before = open;
            let mut answered = None;
            let effects = match &event {
                Event::Heartbeat(serving) => {
                    last_sign = now;
                    open = None;
                    detector.heartbeat(if *serving { CspState::Available } else { CspState::Draining }, now)
                }
                Event::Tick { connected } => detector.tick(*connected, now),
                Event::Status(outcome) => match open.take() {
                    Some(question) => {
                        answered = Some(*outcome);
                        detector.status(question, *outcome, now)
                    }
                    None => continue,
                },
                Event::Stale(outcome) => {
                    let question = before.unwrap_or(1).saturating_sub(1);
                    let effects = detector.status(question, *outcome, now);
                    prop_assert_eq!(&effects, &Vec::new());
                    effects
                }
            };
            for effect in effects {
                match effect {
                    Effect::AskStatus { question } => {
                        prop_assert!(now - last_sign >= POLICY.suspect_after_ms);
                        open = Some(question);
                    }
                    Effect::Changed { state: new, cause } => {
                        prop_assert!(!cause.is_empty());
                        prop_assert_ne!(state, Some(new));
                        if new == CspState::Unavailable {
                            prop_assert_eq!(state, Some(CspState::Suspect));
                            prop_assert!(matches!(
                                answered,
                                Some(StatusOutcome::Unanswered | StatusOutcome::NoResponders)
                            ));
                        }
                        state = Some(new);
                    }
                }
            }
            prop_assert_eq!(detector.state(), state);
        }
    }
}
