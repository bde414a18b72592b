//! A request that CSPs do not survive, case by case.

use super::*;
use crate::model::effect::Sending;
use crate::model::member::Report;
use crate::model::probe::ProbeOutcome;
use crate::model::route::Need;
use crate::model::traffic::Arrival;
use crate::model::traffic::tests::{
    NAMES, QUERY, arrival, endings, keep_alive, name, only_sending, report, sendings, sent, traffic,
};
use holdfast_schemas::message::{Completions, CspState, Replication, UpdateWindows};
use serde_json::json;

/// The process behind the name of a CSP is replaced.
fn replaced(traffic: &mut Traffic<u64>, csp: &str, incarnation: &str, now_ms: u64) -> Vec<Effect<u64>> {
    traffic.heard(csp, &Report { incarnation: incarnation.to_owned(), ..report() }, now_ms).1
}

/// The CSP that has it says that it begins to carry it out.
fn begun(traffic: &mut Traffic<u64>, sending: &Sending<u64>) {
    let begun = sending.number.into_iter().collect();
    let note = Completions {
        group: "g".to_owned(),
        csp: name(sending.csp).to_owned(),
        done: Vec::new(),
        returned: Vec::new(),
        begun,
    };
    assert!(traffic.completed(&note, 0).is_empty());
}

#[test]
fn an_update_that_two_processes_did_not_survive_is_only_refused_by_the_third() {
    let mut traffic = traffic(Replication::Primary);
    let first = sent(traffic.take(arrival(1, Need::Update), 0));
    let second = only_sending(replaced(&mut traffic, name(first.csp), "2", 10));
    assert!(!second.refuses && second.is_recovery);
    begun(&mut traffic, &second);
    let third = only_sending(replaced(&mut traffic, name(second.csp), "3", 20));
    assert!(third.refuses, "{third:?}");
    let fourth = only_sending(replaced(&mut traffic, name(third.csp), "4", 30));
    assert!(fourth.refuses, "whatever happens later");
}

#[test]
fn a_query_is_refused_here_and_a_lock_never() {
    let mut traffic = traffic(Replication::Peer);
    let turn = Arrival { condemned: Condemned::Never, ..arrival(1, Need::Turn) };
    let mut turn = sent(traffic.take(turn, 0));
    for incarnation in ["2", "3", "4"] {
        turn = only_sending(replaced(&mut traffic, name(turn.csp), incarnation, 10));
        assert!(!turn.refuses);
    }
    let query = sent(traffic.take(Arrival { condemned: Condemned::Here, ..arrival(2, QUERY) }, 20));
    let csp = name(query.csp);
    let again = sendings(replaced(&mut traffic, csp, "5", 20));
    let again = again.iter().find(|sending| *sending.cargo == 2).unwrap();
    begun(&mut traffic, again);
    let effects = replaced(&mut traffic, name(again.csp), "6", 30);
    assert_eq!(endings(effects), [Ending::Kills]);
}

/// Nobody is found at the CSP that has the request.
fn nobody_there(traffic: &mut Traffic<u64>, now_ms: u64) -> Vec<Effect<u64>> {
    let effects = traffic.sweep(now_ms);
    let [Effect::Probe { csp, question }] = effects[..] else { panic!("{effects:?}") };
    traffic.probed(csp, question, ProbeOutcome::NoResponders, now_ms)
}

#[test]
fn while_it_is_open_whether_they_ended_nobody_gets_it() {
    let mut traffic = traffic(Replication::Peer);
    let first = sent(traffic.take(arrival(1, Need::Update), 0));
    let second = only_sending(nobody_there(&mut traffic, 25));
    begun(&mut traffic, &second);
    assert!(sendings(nobody_there(&mut traffic, 50)).is_empty(), "two may have ended by it");
    keep_alive(&mut traffic, &["a", "b", "c"], 60);
    assert!(sendings(traffic.sweep(60)).is_empty(), "those heartbeats were under way");
    // The second lives, so it has ended one at most.
    let again = only_sending(keep_alive(&mut traffic, &[name(second.csp)], 150));
    assert!(!again.refuses);
    begun(&mut traffic, &again);
    // The first has ended, for certain; then that one.
    assert!(sendings(traffic.deserted(name(first.csp), Some("1"), 160)).is_empty());
    let last = only_sending(traffic.deserted(name(again.csp), Some("1"), 170));
    assert!(last.refuses);
}

#[test]
fn a_verdict_on_the_second_of_two_lost_ones_settles_it() {
    let mut traffic = traffic(Replication::Peer);
    let first = sent(traffic.take(arrival(1, Need::Update), 0));
    let second = only_sending(nobody_there(&mut traffic, 25));
    begun(&mut traffic, &second);
    assert!(sendings(nobody_there(&mut traffic, 50)).is_empty());
    assert!(sendings(replaced(&mut traffic, name(first.csp), "2", 60)).is_empty(), "the other one is open still");
    let last = only_sending(traffic.deserted(name(second.csp), Some("1"), 70));
    assert!(last.refuses);
}

#[test]
fn one_that_was_dead_when_it_was_sent_there_has_not_ended_by_it() {
    for condemned in [Condemned::ByItsId, Condemned::Here] {
        let mut traffic = traffic(Replication::Peer);
        let need = if condemned == Condemned::Here { QUERY } else { Need::Update };
        let first = sent(traffic.take(arrival(1, need), 0));
        let second = only_sending(nobody_there(&mut traffic, 25));
        // What the first one said of itself says nothing of the second.
        begun(&mut traffic, &first);
        assert!(sendings(nobody_there(&mut traffic, 50)).is_empty(), "its word may be under way");
        assert!(sendings(traffic.sweep(50 + WORD_MS - 1)).is_empty());
        let third = only_sending(traffic.sweep(50 + WORD_MS));
        assert!(third.is_recovery && !third.refuses, "{third:?}");
        assert!(![first.csp, second.csp].contains(&third.csp));
        for csp in [first.csp, second.csp] {
            assert!(sendings(traffic.deserted(name(csp), Some("1"), 160)).is_empty());
        }
    }
}

#[test]
fn a_node_that_ends_counts_once_for_what_was_at_one_of_its_csps() {
    for condemned in [Condemned::ByItsId, Condemned::Here] {
        let mut traffic = traffic(Replication::Peer);
        let need = if condemned == Condemned::Here { QUERY } else { Need::Update };
        let all: Vec<_> = (0..3).map(|cargo| sent(traffic.take(arrival(cargo, need), 0))).collect();
        let gone: Vec<_> = all.iter().map(|sending| name(sending.csp).to_owned()).take(2).collect();
        assert_ne!(gone[0], gone[1], "each has one");
        let effects = traffic.node_judged(&gone, &gone, 10);
        let again = sendings(effects);
        let told: Vec<_> = again.iter().map(|sending| (*sending.cargo, name(sending.csp), sending.refuses)).collect();
        let left = name(all[2].csp);
        assert_eq!(told, [(0, left, false), (1, left, false)], "none goes to another CSP of the same node");
        assert!(again.iter().all(|sending| sending.is_recovery && sending.attempt == 2));
    }
}

#[test]
fn an_update_that_is_only_asked_for_its_outcome_ends_nobody() {
    let windows = json!({ "windows": [{"from": "00:01", "until": "00:02"}], "outside": "queue" });
    let windows: UpdateWindows = serde_json::from_value(windows).unwrap();
    let mut traffic = traffic(Replication::Peer);
    traffic.arrange(&[], Some(&windows), 0);
    traffic.look_at_clock(0, 0);
    let mut asked = sent(traffic.take(Arrival { may_repeat: true, ..arrival(1, Need::Update) }, 0));
    for (incarnation, now_ms) in [("2", 10), ("3", 20), ("4", 30)] {
        asked = only_sending(replaced(&mut traffic, name(asked.csp), incarnation, now_ms));
        assert!(asked.asks && !asked.refuses && !asked.is_recovery, "{asked:?}");
    }
}

#[test]
fn one_that_comes_back_over_another_connection_has_only_been_away() {
    let mut traffic = traffic(Replication::Peer);
    let first = sent(traffic.take(arrival(1, Need::Update), 0));
    let others: Vec<_> = NAMES.into_iter().filter(|other| *other != name(first.csp)).collect();
    (100..=500).step_by(100).for_each(|now_ms| drop(keep_alive(&mut traffic, &others, now_ms)));
    let second = only_sending(traffic.sweep(501));
    begun(&mut traffic, &second);
    let third = others.into_iter().find(|other| *other != name(second.csp)).unwrap();
    (600..=1_000).step_by(100).for_each(|now_ms| drop(keep_alive(&mut traffic, &[third], now_ms)));
    assert!(sendings(traffic.sweep(1_001)).is_empty(), "two may have ended by it");
    let back = Report { connects: Some(2), ..report() };
    let again = only_sending(traffic.heard(name(first.csp), &back, 1_010).1);
    assert!(again.is_recovery && !again.refuses, "it has ended one at most");
}

/// Supervision holds the CSP for gone because it is silent, alone or with its node.
fn silent(traffic: &mut Traffic<u64>, csp: CspIndex, with_node: bool, now_ms: u64) -> Vec<Effect<u64>> {
    match with_node {
        true => traffic.node_judged(&[name(csp).to_owned()], &[], now_ms),
        false => traffic.judged(name(csp), CspState::Unavailable, Some("1"), now_ms),
    }
}

#[test]
fn late_heartbeats_of_all_condemn_nobody() {
    for (need, with_node) in [(Need::Update, false), (Need::Update, true), (QUERY, false), (QUERY, true)] {
        let mut traffic = traffic(Replication::Peer);
        let mut last = sent(traffic.take(arrival(1, need), 0));
        // And so on, for as long as the machine stands still now and then.
        for now_ms in (0..500).step_by(100) {
            let next = only_sending(silent(&mut traffic, last.csp, with_node, now_ms + 10));
            begun(&mut traffic, &next);
            let effects = silent(&mut traffic, next.csp, with_node, now_ms + 20);
            assert!(matches!(effects[..], [Effect::Vanished { .. }]), "{effects:?}");
            last = only_sending(keep_alive(&mut traffic, &NAMES, now_ms + 90));
            assert!(last.is_recovery && !last.refuses, "no process has ended: {last:?}");
            begun(&mut traffic, &last);
        }
    }
}

#[test]
fn what_was_at_two_that_stay_silent_waits_until_its_deadline_at_most() {
    for (need, ending) in [(Need::Update, Ending::OutcomeUnknown), (QUERY, Ending::Unanswered)] {
        let mut traffic = traffic(Replication::Peer);
        let first = sent(traffic.take(arrival(1, need), 0));
        let second = only_sending(silent(&mut traffic, first.csp, false, 10));
        begun(&mut traffic, &second);
        assert!(sendings(silent(&mut traffic, second.csp, false, 20)).is_empty());
        let third = NAMES.into_iter().find(|third| ![name(first.csp), name(second.csp)].contains(third)).unwrap();
        assert!(keep_alive(&mut traffic, &[third], 4_900).is_empty());
        assert!(traffic.sweep(4_999).is_empty());
        assert_eq!(endings(traffic.sweep(5_000)), [ending]);
    }
}

#[test]
fn one_that_hangs_and_one_that_ends_condemn_it_once_the_first_is_replaced() {
    for is_heard_again in [true, false] {
        let mut traffic = traffic(Replication::Peer);
        let first = sent(traffic.take(arrival(1, Need::Update), 0));
        let second = only_sending(silent(&mut traffic, first.csp, false, 10));
        assert!(!second.refuses, "one that hangs holds nothing back");
        begun(&mut traffic, &second);
        assert!(sendings(traffic.deserted(name(second.csp), Some("1"), 20)).is_empty());
        let last = match is_heard_again {
            true => keep_alive(&mut traffic, &[name(first.csp)], 100),
            false => replaced(&mut traffic, name(first.csp), "2", 100),
        };
        assert_eq!(only_sending(last).refuses, !is_heard_again);
    }
}

#[test]
fn the_word_that_it_began_counts_behind_the_news_of_its_end() {
    let mut traffic = traffic(Replication::Peer);
    let first = sent(traffic.take(arrival(1, Need::Update), 0));
    let second = only_sending(traffic.deserted(name(first.csp), Some("1"), 10));
    assert!(sendings(traffic.deserted(name(second.csp), Some("1"), 20)).is_empty());
    begun(&mut traffic, &second);
    assert!(only_sending(traffic.sweep(30)).refuses, "two have ended that had begun it");
}
