//! Update windows and pools in the life of a request, case by case and under random histories.

use super::*;
use crate::model::effect::Sending;
use crate::model::member::Report;
use crate::model::roster::CspIndex;
use crate::model::route::Need;
use crate::model::traffic::Condemned;
use crate::model::traffic::tests::{
    NAMES, QUERY, arrival, endings, keep_alive, name, only_sending, report, sendings, sent, traffic,
};
use crate::model::update_window::Schedule;
use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::{Completions, CspState, OutsideWindow, Replication, Returned};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Thursday, the 1st of January 1970, 00:00 UTC: the clock on the wall shows what has passed since.
const MINUTE_MS: u64 = 60_000;

fn windows(windows: Value, outside: &str) -> UpdateWindows {
    serde_json::from_value(json!({ "windows": windows, "outside": outside })).unwrap()
}

/// Open from the first to the second minute of every day.
fn second_minute(outside: &str) -> UpdateWindows {
    windows(json!([{"from": "00:01", "until": "00:02"}]), outside)
}

/// A group whose wall clock and whose own began together.
fn gated(windows: &UpdateWindows) -> Traffic<u64> {
    let mut traffic = traffic(Replication::Primary);
    assert!(traffic.arrange(&[], Some(windows), 0).is_empty());
    assert!(traffic.look_at_clock(0, 0).is_empty());
    traffic
}

fn update(cargo: u64, utc_ms: u64) -> Arrival<u64> {
    Arrival { utc_ms, ..arrival(cargo, Need::Update) }
}

fn ending(effect: Option<Effect<u64>>) -> Ending {
    match effect {
        Some(Effect::End { ending, .. }) => ending,
        other => panic!("not ended: {other:?}"),
    }
}

#[test]
fn outside_of_all_windows_an_update_is_refused_and_told_when() {
    let mut traffic = gated(&second_minute("refuse"));
    let refusal = ending(traffic.take(update(1, 0), 0));
    assert_eq!((refusal.code(), refusal.retry_after_ms()), (ErrorCode::OutsideUpdateWindow, Some(MINUTE_MS)));
    assert!(refusal.to_string().contains("1970-01-01T00:01:00Z"), "{refusal}");
    sent(traffic.take(arrival(2, QUERY), 0));
    let message_of_a_transaction = Arrival { begins: false, ..update(3, 0) };
    sent(traffic.take(message_of_a_transaction, 0));
    sent(traffic.take(update(4, MINUTE_MS), 0));
    let refusal = ending(traffic.take(update(5, 2 * MINUTE_MS), 0));
    assert!(refusal.to_string().contains("1970-01-02T00:01:00Z"), "{refusal}");
}

fn repetition(cargo: u64, utc_ms: u64) -> Arrival<u64> {
    Arrival { may_repeat: true, ..update(cargo, utc_ms) }
}

fn without_outcome(csp: &str, number: Option<u64>) -> Completions {
    let returned = vec![Returned { number: number.unwrap(), code: ErrorCode::NotFound }];
    Completions { group: "g".to_owned(), csp: csp.to_owned(), done: Vec::new(), returned, begun: Vec::new() }
}

#[test]
fn what_may_be_a_repetition_is_asked_for_its_outcome_at_any_hour() {
    let mut traffic = gated(&second_minute("refuse"));
    let asked = sent(traffic.take(repetition(1, 0), 0));
    assert_eq!((name(asked.csp), asked.asks, asked.is_recovery), ("a", true, false));
    // It has one, and is answered.
    let done = Completions { done: vec![asked.number.unwrap()], returned: Vec::new(), ..without_outcome("a", Some(0)) };
    assert!(traffic.completed(&done, 1).is_empty() && traffic.open().is_empty());
    // It has none: it is refused like every other.
    let asked = sent(traffic.take(repetition(2, 0), 2));
    let ended = endings(traffic.completed(&without_outcome("a", asked.number), 3));
    assert!(matches!(ended[..], [Ending::OutsideWindow { .. }]), "{ended:?}");
    // The CSP is lost: the next one is asked, and nothing may have been carried out.
    sent(traffic.take(repetition(3, 0), 4));
    traffic.judged("a", CspState::Unavailable, None, 5);
    let next = Report { epoch: 2, primary: Some("b".to_owned()), ..report() };
    let again = only_sending(traffic.heard("b", &next, 6).1);
    assert_eq!((name(again.csp), again.asks, again.is_recovery), ("b", true, false));
    // Within a window it is sent as always.
    assert!(!sent(traffic.take(repetition(4, MINUTE_MS), 7)).asks);
}

#[test]
fn what_has_no_outcome_waits_for_the_window_if_it_may() {
    let mut traffic = gated(&second_minute("queue"));
    let soon = MINUTE_MS - 4_000;
    traffic.look_at_clock(soon, 0);
    let asked = sent(traffic.take(repetition(1, soon), 0));
    assert!(asked.asks && traffic.completed(&without_outcome("a", asked.number), 10).is_empty());
    assert!(traffic.sweep(100).is_empty(), "it waits");
    assert!(traffic.look_at_clock(MINUTE_MS - 1, 3_999).is_empty());
    assert!(keep_alive(&mut traffic, &NAMES, 3_999).is_empty());
    let sending = only_sending(traffic.look_at_clock(MINUTE_MS, 4_000));
    assert_eq!((sending.asks, sending.is_recovery, sending.attempt), (false, false, 2));
}

#[test]
fn an_update_waits_for_a_window_that_opens_in_time() {
    let mut traffic = gated(&second_minute("queue"));
    let soon = MINUTE_MS - 4_000;
    assert!(traffic.look_at_clock(soon, 0).is_empty());
    let hasty = Arrival { deadline_ms: 4_000, ..update(1, soon) };
    assert_eq!(ending(traffic.take(hasty, 0)).code(), ErrorCode::OutsideUpdateWindow);
    assert!(traffic.take(update(2, soon), 0).is_none(), "its deadline is a second after the opening");
    // It outlives the patience with CSPs, which is a second, and heartbeats do not move it.
    for now_ms in (0..4_000).step_by(100) {
        keep_alive(&mut traffic, &NAMES, now_ms);
        assert!(traffic.look_at_clock(soon + now_ms, now_ms).is_empty());
        assert!(traffic.sweep(now_ms).is_empty());
    }
    keep_alive(&mut traffic, &NAMES, 4_000);
    assert_eq!(*only_sending(traffic.look_at_clock(MINUTE_MS, 4_000)).cargo, 2);
}

#[test]
fn what_was_sent_in_time_is_recovered_at_any_time() {
    let mut traffic = gated(&second_minute("refuse"));
    let (open, closed) = (2 * MINUTE_MS - 10, 2 * MINUTE_MS);
    assert!(traffic.look_at_clock(open, 0).is_empty());
    sent(traffic.take(update(1, open), 0));
    assert!(traffic.look_at_clock(closed, 10).is_empty());
    assert!(traffic.judged("a", CspState::Unavailable, None, 20).len() == 1, "it waits for another primary");
    let next = Report { epoch: 2, primary: Some("b".to_owned()), ..report() };
    let again = only_sending(traffic.heard("b", &next, 30).1);
    assert_eq!((name(again.csp), again.attempt, again.is_recovery), ("b", 2, true));
}

#[test]
fn what_was_never_sent_when_the_last_window_closes_is_judged_anew() {
    let mut traffic = gated(&second_minute("refuse"));
    let open = 2 * MINUTE_MS - 10;
    traffic.look_at_clock(open, 0);
    traffic.judged("a", CspState::Unavailable, None, 0);
    assert!(traffic.take(update(1, open), 0).is_none(), "it waits for a primary");
    let ended = endings(traffic.look_at_clock(2 * MINUTE_MS, 10));
    assert!(matches!(ended[..], [Ending::OutsideWindow { .. }]), "{ended:?}");
}

#[test]
fn a_new_definition_counts_at_once() {
    let mut traffic = gated(&second_minute("queue"));
    let soon = MINUTE_MS - 4_000;
    assert!(traffic.take(update(1, soon), 0).is_none());
    assert_eq!(*only_sending(traffic.arrange(&[], None, 1)).cargo, 1);
    sent(traffic.take(update(2, soon), 1));
    traffic.arrange(&[], Some(&second_minute("queue")), 2);
    assert!(traffic.take(update(3, soon), 2).is_none());
    let ended = endings(traffic.arrange(&[], Some(&second_minute("refuse")), 3));
    assert!(matches!(ended[..], [Ending::OutsideWindow { .. }]), "{ended:?}");
}

#[test]
fn a_clock_that_is_set_back_is_believed() {
    let mut traffic = gated(&second_minute("queue"));
    assert!(traffic.take(update(1, MINUTE_MS - 4_500), 0).is_none());
    assert!(traffic.look_at_clock(0, 2_000).is_empty());
    assert!(traffic.sweep(4_999).is_empty());
    let ended = endings(traffic.sweep(5_000));
    assert!(matches!(ended[..], [Ending::OutsideWindow { retry_after_ms: MINUTE_MS, .. }]), "{ended:?}");
}

fn pool(csps: &[&str], overflow: bool) -> PoolDefinition {
    PoolDefinition { name: "p".to_owned(), csps: csps.iter().map(|csp| (*csp).to_owned()).collect(), overflow }
}

#[test]
fn a_query_of_a_pool_is_recovered_within_it() {
    let mut traffic = traffic(Replication::Primary);
    traffic.arrange(&[pool(&["b", "c"], false)], None, 0);
    // Two CSPs are lost with it, which is not what is looked at here.
    let query = |cargo| Arrival { pool: Some("p".to_owned()), condemned: Condemned::Never, ..arrival(cargo, QUERY) };
    let unknown = Arrival { pool: Some("q".to_owned()), ..arrival(9, QUERY) };
    assert_eq!(ending(traffic.take(unknown, 0)).code(), ErrorCode::NotFound);
    let first = sent(traffic.take(query(1), 0));
    let second = only_sending(traffic.judged(name(first.csp), CspState::Unavailable, None, 10));
    assert!(second.csp != first.csp && name(second.csp) != "a" && second.is_recovery, "{second:?}");
    assert_eq!(
        traffic.judged(name(second.csp), CspState::Unavailable, None, 20).len(),
        1,
        "nobody of the pool is left"
    );
    assert!(traffic.take(query(2), 30).is_none());
    assert_eq!(*sent(traffic.take(arrival(3, QUERY), 30)).cargo, 3, "others are not held up by it");
    let moved = sendings(traffic.arrange(&[pool(&["b", "c"], true)], None, 40));
    assert_eq!(
        moved.iter().map(|sending| (*sending.cargo, name(sending.csp))).collect::<Vec<_>>(),
        [(1, "a"), (2, "a")]
    );
}

/// What happens in a random history.
#[derive(Debug, Clone)]
enum Event {
    Take { need: Need, deadline_ms: u64, may_repeat: bool },
    Answer { has_outcome: bool },
    Lose { csp: usize },
    Define { windows: Option<UpdateWindows> },
    SetClock { back_ms: u64 },
    Nothing,
}

fn event() -> impl Strategy<Value = Event> {
    let need = prop_oneof![3 => Just(Need::Update), 1 => Just(QUERY)];
    let outside = prop_oneof![Just("refuse"), Just("queue")];
    let every_other_minute: Vec<_> =
        (0..30).map(|n| json!({"from": format!("00:{:02}", 2 * n), "until": format!("00:{:02}", 2 * n + 1)})).collect();
    let some = prop::sample::subsequence(every_other_minute, 1..=30);
    let definition = (some, outside).prop_map(|(some, outside)| windows(json!(some), outside));
    prop_oneof![
        6 => (need, 1u64..60_000, any::<bool>()).prop_map(|(need, deadline_ms, may_repeat)| Event::Take {
            need,
            deadline_ms,
            may_repeat,
        }),
        2 => any::<bool>().prop_map(|has_outcome| Event::Answer { has_outcome }),
        2 => (0usize..3).prop_map(|csp| Event::Lose { csp }),
        1 => prop::option::weighted(0.8, definition).prop_map(|windows| Event::Define { windows }),
        1 => (0u64..90_000).prop_map(|back_ms| Event::SetClock { back_ms }),
        4 => Just(Event::Nothing),
    ]
}

/// What a client knows of its request.
struct Fate {
    is_update: bool,
    deadline_ms: u64,
    begun: bool,
    /// The CSP that was asked for its outcome, and the number of the question.
    asked: Option<(CspIndex, u64)>,
}

/// The hour, and what the definition in force says to it.
struct Hour {
    now_ms: u64,
    utc_ms: u64,
    windows: Option<UpdateWindows>,
}

impl Hour {
    fn opens_in_ms(&self) -> u64 {
        let schedule = self.windows.as_ref().map(|windows| Schedule::new(&windows.windows));
        schedule.map_or(0, |schedule| schedule.next_opening_ms(self.utc_ms).unwrap() - self.utc_ms)
    }

    fn see(&self, fates: &mut HashMap<u64, Fate>, effects: Vec<Effect<u64>>) {
        for effect in effects {
            match effect {
                Effect::Send(Sending { cargo, csp, number, is_recovery, asks, .. }) => {
                    let fate = fates.get_mut(&cargo).unwrap();
                    let may_go = asks || fate.begun || !fate.is_update || self.opens_in_ms() == 0;
                    assert!(may_go, "an update was sent outside of all windows");
                    assert!(!asks || !fate.begun && self.opens_in_ms() > 0, "asked for nothing");
                    assert!(!is_recovery || fate.begun, "a question was taken for an attempt");
                    fate.begun |= !asks;
                    fate.asked = number.map(|number| (csp, number)).filter(|_| asks);
                }
                Effect::End { cargo, ending: Ending::OutsideWindow { retry_after_ms, .. } } => {
                    let fate = &fates[&cargo];
                    assert!(fate.is_update && !fate.begun, "refused although it was sent before");
                    assert_eq!(retry_after_ms, self.opens_in_ms());
                    let left_ms = fate.deadline_ms.saturating_sub(self.now_ms);
                    let queues = self.windows.as_ref().is_some_and(|windows| windows.outside == OutsideWindow::Queue);
                    assert!(!queues || retry_after_ms >= left_ms, "it could have waited");
                }
                Effect::End { .. } | Effect::Probe { .. } | Effect::Vanished { .. } => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// An update is sent for the first time within a window only, refused for the hour's sake only outside of them and only if it
    /// was never sent, and let through as soon as it may.
    #[test]
    fn windows_are_kept(events in prop::collection::vec((event(), 0u64..20_000), 1..60)) {
        let mut traffic = traffic(Replication::Peer);
        let mut fates = HashMap::new();
        let mut hour = Hour { now_ms: 0, utc_ms: 0, windows: None };
        let mut began_at_ms = 600_000u64;
        for (event, pause_ms) in events {
            hour.now_ms += pause_ms;
            if let Event::SetClock { back_ms } = event {
                began_at_ms = began_at_ms.saturating_sub(back_ms);
            }
            hour.utc_ms = began_at_ms + hour.now_ms;
            let effects = traffic.look_at_clock(hour.utc_ms, hour.now_ms);
            hour.see(&mut fates, effects);
            let effects = keep_alive(&mut traffic, &NAMES, hour.now_ms);
            hour.see(&mut fates, effects);
            let effects = match event {
                Event::Take { need, deadline_ms, may_repeat } => {
                    let cargo = fates.len() as u64;
                    let (is_update, deadline_at_ms) = (need.is_update(), hour.now_ms + deadline_ms);
                    let fate = Fate { is_update, deadline_ms: deadline_at_ms, begun: false, asked: None };
                    fates.insert(cargo, fate);
                    let may_repeat = may_repeat && is_update;
                    let arrival = Arrival { deadline_ms, utc_ms: hour.utc_ms, may_repeat, ..arrival(cargo, need) };
                    traffic.take(arrival, hour.now_ms).into_iter().collect()
                }
                Event::Answer { has_outcome } => {
                    let asked = fates.values_mut().find_map(|fate| fate.asked.take());
                    asked.map_or_else(Vec::new, |(csp, number)| {
                        let mut note = without_outcome(name(csp), Some(number));
                        if has_outcome {
                            (note.done, note.returned) = (vec![number], Vec::new());
                        }
                        traffic.completed(&note, hour.now_ms)
                    })
                }
                Event::Lose { csp } => traffic.judged(NAMES[csp], CspState::Unavailable, None, hour.now_ms),
                Event::Define { windows } => {
                    hour.windows = windows;
                    traffic.arrange(&[], hour.windows.as_ref(), hour.now_ms)
                }
                Event::SetClock { .. } | Event::Nothing => Vec::new(),
            };
            hour.see(&mut fates, effects);
            let effects = traffic.sweep(hour.now_ms);
            hour.see(&mut fates, effects);
        }
        // Everybody is well, and there are no windows any more.
        hour.now_ms += 100;
        let effects = keep_alive(&mut traffic, &NAMES, hour.now_ms);
        hour.see(&mut fates, effects);
        hour.windows = None;
        let effects = traffic.arrange(&[], None, hour.now_ms);
        hour.see(&mut fates, effects);
        let waits = |open: &Open<u64>| matches!(open.place, Place::Waiting(_)) && hour.now_ms < open.deadline_ms;
        prop_assert!(!traffic.open().iter().any(|(_, open)| waits(open)), "somebody waits although all is open");
    }
}
