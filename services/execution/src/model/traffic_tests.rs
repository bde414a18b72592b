//! The rules of recovery case by case, and under random histories.

use super::*;
use crate::model::suspicion::Suspicion;
use holdfast_schemas::ErrorCode;
use proptest::prelude::*;
use std::collections::HashMap;

pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];

fn policy() -> Policy {
    Policy::for_tests()
}

pub(super) fn report() -> Report {
    Report {
        incarnation: "1".to_owned(),
        state: CspState::Available,
        applied: 5,
        log_end: 5,
        epoch: 1,
        primary: Some("a".to_owned()),
        outstanding: 0,
        query_us: None,
        update_us: None,
        connects: None,
        updates_refused: None,
        clock_ms: None,
    }
}

/// Three CSPs that have all reported at 0 ms; `a` is primary.
pub(super) fn traffic(replication: Replication) -> Traffic<u64> {
    let mut traffic = Traffic::new(replication, NAMES.map(str::to_owned).to_vec(), policy());
    for name in NAMES {
        assert!(traffic.heard(name, &report(), 0).0);
    }
    traffic
}

pub(super) fn arrival(cargo: u64, need: Need) -> Arrival<u64> {
    Arrival {
        cargo: Arc::new(cargo),
        need,
        affinity: None,
        pool: None,
        begins: need.is_update(),
        may_repeat: false,
        utc_ms: 0,
        holder: None,
        condemned: if need.is_update() { Condemned::ByItsId } else { Condemned::Here },
        bytes: 10,
        deadline_ms: 5_000,
        has_reply: true,
    }
}

pub(super) const QUERY: Need = Need::Any { max_lag_ms: None };

pub(super) fn sent(effect: Option<Effect<u64>>) -> Sending<u64> {
    match effect {
        Some(Effect::Send(sending)) => sending,
        other => panic!("not sent: {other:?}"),
    }
}

pub(super) fn sendings(effects: Vec<Effect<u64>>) -> Vec<Sending<u64>> {
    effects
        .into_iter()
        .filter_map(|effect| if let Effect::Send(sending) = effect { Some(sending) } else { None })
        .collect()
}

pub(super) fn only_sending(effects: Vec<Effect<u64>>) -> Sending<u64> {
    let mut sendings = sendings(effects);
    assert_eq!(sendings.len(), 1, "{sendings:?}");
    sendings.remove(0)
}

pub(super) fn endings(effects: Vec<Effect<u64>>) -> Vec<Ending> {
    effects
        .into_iter()
        .filter_map(|effect| if let Effect::End { ending, .. } = effect { Some(ending) } else { None })
        .collect()
}

fn note(csp: &str, done: &[u64], returned: &[(u64, ErrorCode)]) -> Completions {
    let returned = returned.iter().map(|(number, code)| Returned { number: *number, code: *code }).collect();
    Completions { group: "g".to_owned(), csp: csp.to_owned(), done: done.to_vec(), returned, begun: Vec::new() }
}

pub(super) fn name(csp: CspIndex) -> &'static str {
    NAMES[csp.0]
}

pub(super) fn keep_alive(traffic: &mut Traffic<u64>, names: &[&str], now_ms: u64) -> Vec<Effect<u64>> {
    names.iter().flat_map(|name| traffic.heard(name, &report(), now_ms).1).collect()
}

#[test]
fn an_update_whose_time_was_over_before_the_work_began_is_told_so() {
    // The CSP may find so a moment before it is so here.
    for returned_at_ms in [0, 2] {
        let mut traffic = traffic(Replication::Primary);
        let sending = sent(traffic.take(Arrival { deadline_ms: 1, ..arrival(1, Need::Update) }, 0));
        let returned = [(sending.number.unwrap(), ErrorCode::DeadlineExceeded)];
        assert!(traffic.completed(&note("a", &[], &returned), returned_at_ms).is_empty());
        let endings = endings(traffic.sweep(2));
        assert!(matches!(endings[..], [Ending::TimeOver]), "{endings:?}");
        assert_eq!(Ending::TimeOver.code(), ErrorCode::DeadlineExceeded);
    }
}

#[test]
fn a_request_is_open_until_a_note_names_it() {
    let mut traffic = traffic(Replication::Primary);
    let sending = sent(traffic.take(arrival(1, Need::Update), 0));
    assert_eq!((name(sending.csp), sending.attempt, sending.is_recovery), ("a", 1, false));
    assert_eq!((traffic.open().len(), traffic.open().bytes()), (1, 10));
    assert!(traffic.completed(&note("a", &[sending.number.unwrap()], &[]), 5).is_empty());
    assert!(traffic.open().is_empty());
    assert_eq!((traffic.open().bytes(), traffic.roster().member(sending.csp).unwrap().open()), (0, 0));
    assert!(traffic.completed(&note("a", &[sending.number.unwrap(), 999], &[(7, ErrorCode::Internal)]), 6).is_empty());
}

#[test]
fn what_a_deposed_primary_keeps_is_sent_to_the_next_one() {
    let mut traffic = traffic(Replication::Primary);
    let kept = sent(traffic.take(arrival(1, Need::Update), 0));
    let turn = sent(traffic.take(arrival(2, Need::Turn), 0));
    let held = Arrival { holder: Some("a".to_owned()), ..arrival(3, Need::Update) };
    let held = sent(traffic.take(held, 0));
    assert_eq!([kept.csp, turn.csp, held.csp].map(name), ["a"; 3]);
    let next = Report { epoch: 2, primary: Some("b".to_owned()), ..report() };
    assert!(traffic.heard("b", &next, 10).1.is_empty());
    // One that works gives back what it has.
    assert!(sendings(traffic.sweep(109)).is_empty());
    let effects = traffic.sweep(110);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Vanished { cause: Cause::Deposed, requests: 2, .. })));
    let again = sendings(effects);
    let told: Vec<_> = again.iter().map(|sent| (*sent.cargo, name(sent.csp), sent.is_recovery)).collect();
    assert_eq!(told, [(1, "b", true), (2, "b", true)], "the message of an open transaction stays where that is");
    // What it says later is about an attempt that counts no more.
    assert!(traffic.completed(&note("a", &[], &[(kept.number.unwrap(), ErrorCode::NotPrimary)]), 120).is_empty());
    assert!(sendings(traffic.sweep(200)).is_empty(), "the next one is no deposed primary");
}

#[test]
fn without_a_reply_subject_nothing_is_followed() {
    let mut traffic = traffic(Replication::Primary);
    let sending = sent(traffic.take(Arrival { has_reply: false, ..arrival(1, Need::Update) }, 0));
    assert_eq!(sending.number, None);
    assert!(traffic.open().is_empty());
}

#[test]
fn a_csp_that_says_nothing_is_asked_and_its_requests_sent_on_when_nobody_is_there() {
    let mut traffic = traffic(Replication::Peer);
    let first = sent(traffic.take(arrival(1, QUERY), 0));
    assert!(traffic.sweep(24).is_empty());
    let effects = traffic.sweep(25);
    let [Effect::Probe { csp, question }] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(csp, first.csp);
    assert!(traffic.sweep(60).is_empty(), "one question at a time");
    let mut effects = traffic.probed(csp, question, ProbeOutcome::NoResponders, 61);
    assert!(matches!(
        effects.remove(0),
        Effect::Vanished { csp, cause: Cause::NoResponders, requests: 1 } if csp == first.csp
    ));
    let second = only_sending(effects);
    assert_ne!(second.csp, first.csp);
    assert_eq!((second.attempt, second.is_recovery, *second.cargo), (2, true, 1));
    assert_ne!(second.number, first.number);
    // A heartbeat that was under way is not believed, the next one is.
    let is_back = |traffic: &Traffic<u64>, now_ms| traffic.roster().available(first.csp, now_ms);
    keep_alive(&mut traffic, &[name(first.csp)], 62);
    assert!(!is_back(&traffic, 62));
    keep_alive(&mut traffic, &[name(first.csp)], 162);
    assert!(is_back(&traffic, 162));
}

#[test]
fn an_answer_or_a_time_out_of_a_question_changes_nothing() {
    let mut traffic = traffic(Replication::Peer);
    sent(traffic.take(arrival(1, QUERY), 0));
    for now_ms in [25, 50, 75] {
        let effects = traffic.sweep(now_ms);
        let [Effect::Probe { csp, question }] = effects[..] else { panic!("{now_ms}: {effects:?}") };
        assert!(traffic.probed(csp, question, ProbeOutcome::Unsettled, now_ms).is_empty());
        assert!(traffic.sweep(now_ms + 24).is_empty());
    }
}

#[test]
fn who_reports_completions_is_not_asked() {
    let mut traffic = traffic(Replication::Primary);
    sent(traffic.take(arrival(1, Need::Update), 0));
    for now_ms in (10..200).step_by(10) {
        let quick = sent(traffic.take(arrival(2, Need::Update), now_ms));
        assert!(traffic.completed(&note("a", &[quick.number.unwrap()], &[]), now_ms).is_empty());
        assert!(traffic.sweep(now_ms).is_empty(), "a slow request beside quick ones is normal");
    }
}

#[test]
fn another_incarnation_has_lost_what_was_open() {
    let mut traffic = traffic(Replication::Primary);
    let first = sent(traffic.take(arrival(1, Need::Update), 0));
    let (_, effects) = traffic.heard("a", &Report { incarnation: "2".to_owned(), ..report() }, 10);
    let second = only_sending(effects);
    assert_eq!((second.csp, second.attempt, second.is_recovery), (first.csp, 2, true));
    assert!(traffic.completed(&note("a", &[], &[(first.number.unwrap(), ErrorCode::NotPrimary)]), 11).is_empty());
    assert_eq!(traffic.roster().member(first.csp).unwrap().open(), 1, "what the first one says of it counts no more");
    traffic.completed(&note("a", &[first.number.unwrap()], &[]), 12);
    assert!(traffic.open().is_empty(), "but an answer is an answer");
}

#[test]
fn what_was_on_its_way_over_a_lost_connection_is_sent_again() {
    let mut traffic = traffic(Replication::Primary);
    let first = sent(traffic.take(arrival(1, Need::Update), 0));
    let (_, effects) = traffic.heard("a", &Report { connects: Some(1), ..report() }, 10);
    let second = only_sending(effects);
    assert_eq!((second.csp, second.attempt, second.is_recovery), (first.csp, 2, true), "the primary is still there");
    assert!(traffic.heard("a", &Report { connects: Some(1), ..report() }, 20).1.is_empty(), "once");
    traffic.take(arrival(2, QUERY), 20);
    let mut again = sendings(traffic.reconnected(30));
    again.sort_by_key(|sending| *sending.cargo);
    let seen: Vec<_> = again.iter().map(|it| (*it.cargo, it.attempt, it.is_recovery)).collect();
    assert_eq!(seen, [(1, 3, true), (2, 2, true)], "our own connection carries them all");
    traffic.completed(&note("a", &[first.number.unwrap()], &[]), 31);
    assert_eq!(traffic.open().len(), 1, "an answer from before is an answer");
}

#[test]
fn updates_of_a_vanished_primary_wait_for_the_next_one() {
    let mut traffic = traffic(Replication::Primary);
    sent(traffic.take(arrival(1, Need::Update), 0));
    let query = sent(traffic.take(arrival(2, Need::Strong), 0));
    assert_eq!(name(query.csp), "a");
    let effects = traffic.judged("a", CspState::Unavailable, Some("1"), 50);
    let moved = only_sending(effects);
    assert_eq!((*moved.cargo, moved.is_recovery), (2, true), "the query goes on at once");
    assert!(traffic.take(arrival(3, Need::Update), 60).is_none());
    let new_epoch = Report { epoch: 2, primary: Some("b".to_owned()), ..report() };
    let moved = sendings(traffic.heard("b", &new_epoch, 100).1);
    let seen: Vec<_> = moved.iter().map(|it| (*it.cargo, name(it.csp), it.attempt, it.is_recovery)).collect();
    assert_eq!(seen, [(1, "b", 2, true), (3, "b", 1, false)], "in the order of arrival");
}

#[test]
fn a_verdict_on_an_earlier_process_says_nothing() {
    let mut traffic = traffic(Replication::Primary);
    sent(traffic.take(arrival(1, Need::Update), 0));
    assert!(traffic.judged("a", CspState::Unavailable, Some("0"), 10).is_empty());
    assert!(traffic.judged("stranger", CspState::Unavailable, None, 10).is_empty());
    assert!(traffic.judged("a", CspState::Suspect, Some("1"), 10).is_empty());
    let csp = traffic.roster().find("a").unwrap();
    assert!(traffic.roster().available(csp, 10) && traffic.roster().member(csp).unwrap().is_doubted());
    traffic.judged("a", CspState::Available, Some("1"), 20);
    assert!(!traffic.roster().member(csp).unwrap().is_doubted());
}

#[test]
fn what_is_read_late_does_not_bring_back_a_doubt_that_is_over() {
    let mut traffic = Traffic::<u64>::new(Replication::Peer, NAMES.map(str::to_owned).to_vec(), policy());
    traffic.heard("a", &report(), 0);
    // Both are said to be sound before the bucket, as it was a moment ago, has been read. `b` was not heard yet.
    for csp in ["a", "b"] {
        traffic.judged(csp, CspState::Available, Some("1"), 5);
    }
    NAMES.into_iter().for_each(|csp| traffic.doubted_before(csp, "1"));
    keep_alive(&mut traffic, &["b", "c"], 10);
    let is_doubted = |csp| traffic.roster().member(traffic.roster().find(csp).unwrap()).unwrap().is_doubted();
    assert_eq!(NAMES.map(is_doubted), [false, false, true], "only of c nothing newer was said");
}

#[test]
fn silence_of_five_intervals_moves_the_requests() {
    let mut traffic = traffic(Replication::Peer);
    let first = sent(traffic.take(arrival(1, Need::Update), 0));
    let others: Vec<_> = NAMES.into_iter().filter(|other| *other != name(first.csp)).collect();
    for now_ms in (100..=500).step_by(100) {
        keep_alive(&mut traffic, &others, now_ms);
        assert!(sendings(traffic.sweep(now_ms)).is_empty());
    }
    let second = only_sending(traffic.sweep(501));
    assert!(others.contains(&name(second.csp)) && second.is_recovery);
}

#[test]
fn a_returned_request_goes_elsewhere_at_once() {
    let mut traffic = traffic(Replication::Peer);
    let first = sent(traffic.take(arrival(1, Need::Update), 0));
    let returned = note(name(first.csp), &[], &[(first.number.unwrap(), ErrorCode::ShuttingDown)]);
    let second = only_sending(traffic.completed(&returned, 1));
    assert_ne!(second.csp, first.csp);
    assert_eq!((second.attempt, second.is_recovery), (2, false), "nobody can have carried it out");
    let returned = note(name(second.csp), &[], &[(second.number.unwrap(), ErrorCode::Internal)]);
    let third = only_sending(traffic.completed(&returned, 2));
    assert_eq!((third.attempt, third.is_recovery), (3, true));
    let returned = note(name(third.csp), &[], &[(third.number.unwrap(), ErrorCode::ShuttingDown)]);
    assert!(only_sending(traffic.completed(&returned, 3)).is_recovery, "once open, it stays open");
}

#[test]
fn what_only_one_can_take_goes_back_to_it_after_a_pause() {
    let mut traffic = traffic(Replication::Primary);
    let mut sending = sent(traffic.take(arrival(1, Need::Update), 0));
    let mut now_ms = 0;
    for pause_ms in [4, 8, 16, 32, 64, 64] {
        let returned = note("a", &[], &[(sending.number.unwrap(), ErrorCode::NotPrimary)]);
        assert!(traffic.completed(&returned, now_ms).is_empty());
        keep_alive(&mut traffic, &NAMES, now_ms);
        assert!(traffic.sweep(now_ms + pause_ms - 1).is_empty());
        now_ms += pause_ms;
        sending = only_sending(traffic.sweep(now_ms));
        assert!(!sending.is_recovery);
    }
    assert_eq!(sending.attempt, 7);
}

#[test]
fn what_is_not_settled_by_the_deadline_is_said_to_be_unknown() {
    let mut traffic = traffic(Replication::Primary);
    let update = Arrival { deadline_ms: 100, ..arrival(1, Need::Update) };
    sent(traffic.take(update, 0));
    assert!(endings(traffic.sweep(249)).is_empty(), "the CSP's own answer is awaited for a moment");
    assert_eq!(endings(traffic.sweep(250)), [Ending::OutcomeUnknown]);
    assert!(traffic.open().is_empty());
    keep_alive(&mut traffic, &NAMES, 250);
    sent(traffic.take(Arrival { deadline_ms: 100, ..arrival(2, QUERY) }, 250));
    assert_eq!(endings(traffic.sweep(500)), [Ending::Unanswered]);
}

#[test]
fn who_waits_in_vain_is_told_whether_it_was_with_a_csp() {
    let mut traffic = traffic(Replication::Primary);
    sent(traffic.take(Arrival { deadline_ms: 2_000, ..arrival(1, Need::Update) }, 0));
    traffic.judged("a", CspState::Unavailable, None, 10);
    assert!(traffic.take(Arrival { deadline_ms: 100, ..arrival(2, Need::Update) }, 20).is_none());
    assert!(traffic.take(Arrival { deadline_ms: 2_000, ..arrival(3, Need::Update) }, 20).is_none());
    let primary = traffic.roster().find("a").unwrap();
    let never_sent = Ending::NoRoute(NoRoute::PrimaryUnavailable(primary));
    assert_eq!(endings(traffic.sweep(120)), [never_sent]);
    assert_eq!(endings(traffic.sweep(1_020)), [never_sent], "patience is over");
    assert!(endings(traffic.sweep(1_999)).is_empty(), "what was with a CSP waits until its deadline");
    assert_eq!(endings(traffic.sweep(2_000)), [Ending::OutcomeUnknown]);
}

#[test]
fn beyond_the_bounds_it_says_overloaded_with_a_hint() {
    let mut traffic: Traffic<u64> = Traffic::new(Replication::Primary, vec!["a".to_owned()], policy());
    let code = |effect: Option<Effect<u64>>| match effect {
        Some(Effect::End { ending, .. }) => Some((ending.code(), ending.retry_after_ms().is_some())),
        _ => None,
    };
    let large = Arrival { bytes: policy().open_bytes_max + 1, ..arrival(1, Need::Update) };
    assert_eq!(code(traffic.take(large, 0)), Some((ErrorCode::Overloaded, true)));
    for cargo in 0..policy().open_requests_max as u64 {
        assert!(traffic.take(arrival(cargo, Need::Update), 0).is_none());
    }
    assert_eq!(code(traffic.take(arrival(1, Need::Update), 0)), Some((ErrorCode::Overloaded, true)));
    let released = sendings(traffic.heard("a", &report(), 0).1);
    assert_eq!(released.len(), policy().csp_open_max as usize, "one CSP is not given more than it may have");
    let done: Vec<_> = released.iter().map(|sending| sending.number.unwrap()).collect();
    traffic.completed(&note("a", &done, &[]), 1);
    assert_eq!(sendings(traffic.sweep(2)).len(), policy().csp_open_max as usize);
}

#[test]
fn what_could_not_be_answered_in_time_is_refused_at_once() {
    let mut traffic = traffic(Replication::Primary);
    let mut numbers = std::collections::VecDeque::new();
    let mut cargo = 0;
    // A hundred are open all the time, and one is done every 10 ms: one more would wait for a second.
    for now_ms in (0..2_000).step_by(10) {
        while traffic.open().len() < 100 {
            cargo += 1;
            let Some(Effect::Send(sending)) = traffic.take(arrival(cargo, Need::Update), now_ms) else { panic!() };
            numbers.push_back(sending.number.unwrap());
        }
        traffic.completed(&note("a", &[numbers.pop_front().unwrap()], &[]), now_ms);
        keep_alive(&mut traffic, &NAMES, now_ms);
        assert!(endings(traffic.sweep(now_ms)).is_empty());
    }
    let hasty = Arrival { deadline_ms: 500, ..arrival(0, Need::Update) };
    let Some(Effect::End { ending: Ending::TooLate { ahead, retry_after_ms }, .. }) = traffic.take(hasty, 2_000) else {
        panic!("was not refused")
    };
    assert!(ahead >= 99 && (400..=600).contains(&retry_after_ms), "{ahead} ahead, {retry_after_ms} ms");
    sent(traffic.take(arrival(0, Need::Update), 2_000));
    sent(traffic.take(Arrival { deadline_ms: 500, ..arrival(0, QUERY) }, 2_000));
    sent(traffic.take(Arrival { deadline_ms: 500, ..turn(0) }, 2_000));
}

#[test]
fn a_group_that_is_removed_answers_those_who_wait() {
    let mut traffic = traffic(Replication::Primary);
    let held = sent(traffic.take(arrival(1, Need::Update), 0));
    assert!(traffic.take(arrival(2, Need::Session { after: 9 }), 1_000).is_none(), "everybody is silent");
    assert_eq!(endings(traffic.close()), [Ending::GroupRemoved]);
    traffic.completed(&note("a", &[held.number.unwrap()], &[]), 1_001);
    assert!(traffic.open().is_empty());
}

/// Somebody else holds the lock for all this time.
fn turn(cargo: u64) -> Arrival<u64> {
    Arrival { affinity: Some(7), deadline_ms: 60_000, ..arrival(cargo, Need::Turn) }
}

#[test]
fn who_stands_there_for_a_lock_is_no_load_and_no_measure_of_its_csp() {
    let mut traffic = traffic(Replication::Peer);
    let turns: Vec<_> = (0..100).map(|cargo| sent(traffic.take(turn(cargo), 0))).collect();
    let meeting = turns[0].csp;
    assert!(turns.iter().all(|sending| sending.csp == meeting && sending.is_update), "they meet at one CSP");
    let updates: Vec<_> = (100..130).map(|cargo| sent(traffic.take(arrival(cargo, Need::Update), 0)).csp).collect();
    let share = updates.iter().filter(|csp| **csp == meeting).count();
    assert_eq!(share, 10, "others are spread as if nobody stood there");
    let quiet = note(name(meeting), &turns.iter().map(|sending| sending.number.unwrap()).collect::<Vec<_>>(), &[]);
    keep_alive(&mut traffic, &NAMES, 20_000);
    traffic.completed(&quiet, 20_000);
    traffic.sweep(20_000);
    let member = traffic.roster().member(meeting).unwrap();
    assert_eq!((member.turns(), member.updates.mean_ms()), (0, None), "twenty seconds were not the CSP's");
}

#[test]
fn who_stands_there_for_a_lock_is_worth_one_question() {
    let mut traffic = traffic(Replication::Peer);
    let first = sent(traffic.take(turn(1), 0));
    let effects = traffic.sweep(25);
    let [Effect::Probe { csp, question }] = effects[..] else { panic!("{effects:?}") };
    assert!(traffic.probed(csp, question, ProbeOutcome::Unsettled, 30).is_empty());
    for now_ms in (40..30_000).step_by(10) {
        keep_alive(&mut traffic, &NAMES, now_ms);
        assert!(traffic.sweep(now_ms).is_empty(), "asked again at {now_ms}");
    }
    // A question for somebody else finds that nobody is there, and so the lock is waited for elsewhere.
    let other = Arrival { affinity: Some(7), ..arrival(2, Need::Update) };
    assert_eq!(sent(traffic.take(other, 30_000)).csp, csp);
    let effects = traffic.sweep(30_025);
    let [Effect::Probe { csp, question }] = effects[..] else { panic!("{effects:?}") };
    let moved = sendings(traffic.probed(csp, question, ProbeOutcome::NoResponders, 30_026));
    let seen: Vec<_> =
        moved.iter().map(|sending| (*sending.cargo, sending.csp != first.csp, sending.is_recovery)).collect();
    assert_eq!(seen, [(1, true, true), (2, true, true)]);
}

#[test]
fn a_verdict_moves_who_stands_there_for_a_lock() {
    let mut traffic = traffic(Replication::Primary);
    sent(traffic.take(turn(1), 0));
    traffic.judged("a", CspState::Unavailable, Some("1"), 20_000);
    let new_epoch = Report { epoch: 2, primary: Some("b".to_owned()), ..report() };
    let moved = only_sending(traffic.heard("b", &new_epoch, 20_100).1);
    assert_eq!((name(moved.csp), moved.attempt, moved.is_recovery), ("b", 2, true));
    keep_alive(&mut traffic, &["b"], 60_000);
    assert!(endings(traffic.sweep(60_149)).is_empty());
    assert_eq!(endings(traffic.sweep(60_150)), [Ending::OutcomeUnknown], "it may hold the lock");
}

#[test]
fn who_stands_there_for_a_lock_takes_nobodys_room_and_is_never_too_late() {
    let mut traffic = traffic(Replication::Primary);
    for cargo in 0..u64::from(policy().csp_open_max) {
        sent(traffic.take(turn(cargo), 0));
    }
    let full = Ending::Full { retry_after_ms: RETRY_AFTER_MS };
    let one_more = traffic.take(turn(0), 0);
    assert_eq!(endings(one_more.into_iter().collect()), [full]);
    assert_eq!(name(sent(traffic.take(arrival(0, Need::Update), 0)).csp), "a");
}

/// What happens in a random history.
#[derive(Debug, Clone)]
enum Event {
    Take {
        need: Need,
        deadline_ms: u64,
        has_reply: bool,
        holder: Option<usize>,
    },
    Heard {
        csp: usize,
        report: Report,
    },
    Judged {
        csp: usize,
        state: CspState,
    },
    Deserted {
        csp: usize,
    },
    NodeJudged {
        csps: Vec<usize>,
        deserted: Vec<usize>,
    },
    /// The CSP is done with some that were sent to it, given by a choice among all sendings so far.
    Note {
        csp: usize,
        done: Vec<prop::sample::Index>,
        returned: Vec<(prop::sample::Index, ErrorCode)>,
    },
    Probed {
        none_there: bool,
    },
    Sweep,
    Reconnected,
    Redefine {
        names: Vec<usize>,
    },
}

fn any_report() -> impl Strategy<Value = Report> {
    let state = prop_oneof![
        8 => Just(CspState::Available),
        1 => Just(CspState::CatchingUp),
        2 => Just(CspState::Draining),
    ];
    let connects = prop_oneof![9 => Just(Some(1u64)), 1 => Just(Some(2u64))];
    (prop_oneof![9 => Just(1u8), 1 => Just(2u8)], state, 0u64..3, 0usize..4, connects).prop_map(
        |(incarnation, state, epoch, primary, connects)| {
            let primary = NAMES.get(primary).map(|name| (*name).to_owned());
            Report { incarnation: incarnation.to_string(), state, epoch, primary, connects, ..report() }
        },
    )
}

fn some_csps() -> impl Strategy<Value = Vec<usize>> {
    prop::sample::subsequence(vec![0usize, 1, 2], 1..=3)
}

fn event() -> impl Strategy<Value = Event> {
    let need = prop_oneof![
        3 => Just(Need::Update),
        1 => Just(Need::Turn),
        2 => Just(QUERY),
        1 => Just(Need::Strong),
        1 => Just(Need::Session { after: 7 }),
        1 => Just(Need::Any { max_lag_ms: Some(50) }),
    ];
    let state = prop_oneof![Just(CspState::Available), Just(CspState::Suspect), Just(CspState::Unavailable)];
    let code = prop_oneof![Just(ErrorCode::NotPrimary), Just(ErrorCode::ShuttingDown), Just(ErrorCode::OutcomeUnknown)];
    let picks = || prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let returned = prop::collection::vec((any::<prop::sample::Index>(), code), 0..3);
    let holder = prop::option::weighted(0.2, 0usize..3);
    let take =
        (need, 1u64..2_000, prop::bool::weighted(0.9), holder).prop_map(|(need, deadline_ms, has_reply, holder)| {
            // Only messages of transactions are for one CSP alone.
            let need = if holder.is_some() { Need::Update } else { need };
            Event::Take { need, deadline_ms, has_reply, holder }
        });
    prop_oneof![
        8 => take,
        6 => (0usize..3, any_report()).prop_map(|(csp, report)| Event::Heard { csp, report }),
        1 => (0usize..3, state).prop_map(|(csp, state)| Event::Judged { csp, state }),
        1 => (0usize..3).prop_map(|csp| Event::Deserted { csp }),
        1 => (some_csps(), some_csps()).prop_map(|(csps, deserted)| Event::NodeJudged { csps, deserted }),
        5 => (0usize..3, picks(), returned).prop_map(|(csp, done, returned)| Event::Note { csp, done, returned }),
        2 => any::<bool>().prop_map(|none_there| Event::Probed { none_there }),
        5 => Just(Event::Sweep),
        1 => Just(Event::Reconnected),
        1 => some_csps().prop_map(|names| Event::Redefine { names }),
    ]
}

/// What a client and the CSPs know of one request.
#[derive(Debug)]
struct Fate {
    need: Need,
    deadline_ms: u64,
    has_reply: bool,
    at: Option<CspIndex>,
    attempt: u32,
    number: Option<u64>,
    may_have_run: bool,
    is_over: bool,
    holder: Option<CspIndex>,
    sent_to_holder_at_ms: Option<u64>,
}

/// Follows the effects, and finds what must not be.
#[derive(Default)]
struct Witness {
    fates: HashMap<u64, Fate>,
    sent: Vec<(u64, u64)>,
    questions: Vec<(CspIndex, u64)>,
}

impl Witness {
    fn see(&mut self, effects: Vec<Effect<u64>>, now_ms: u64) {
        for effect in effects {
            match effect {
                Effect::Send(sending) => self.see_sending(&sending, now_ms),
                Effect::End { cargo, ending } => self.see_ending(*cargo, ending, now_ms),
                Effect::Probe { csp, question } => self.questions.push((csp, question)),
                Effect::Vanished { csp, cause, requests } => {
                    let mut left = 0;
                    // A message of an open transaction stays with its holder while that is silent, or deposed.
                    let is_meant = |fate: &Fate| match cause {
                        Cause::Deposed => fate.need.is_update() && fate.holder.is_none(),
                        Cause::Silent => fate.holder != Some(csp),
                        Cause::HeardAgain => fate.holder == Some(csp),
                        _ => true,
                    };
                    let there = |fate: &Fate| !fate.is_over && fate.at == Some(csp) && is_meant(fate);
                    for fate in self.fates.values_mut().filter(|fate| there(fate)) {
                        (fate.at, fate.may_have_run, left) = (None, true, left + 1);
                    }
                    assert_eq!(requests, left);
                }
            }
        }
    }

    fn see_sending(&mut self, sending: &Sending<u64>, now_ms: u64) {
        let fate = self.fates.get_mut(&sending.cargo).unwrap();
        assert!(!fate.is_over, "sent after its end");
        assert_eq!(fate.at, None, "sent to two CSPs");
        assert!(now_ms < fate.deadline_ms, "sent after its deadline");
        assert_eq!(sending.attempt, fate.attempt + 1, "attempts are counted");
        assert_eq!(sending.is_recovery, fate.may_have_run);
        assert_eq!(sending.is_update, fate.need.is_update());
        assert_eq!(sending.number.is_some(), fate.has_reply);
        if fate.holder == Some(sending.csp) {
            let before_ms = fate.sent_to_holder_at_ms.replace(now_ms);
            assert!(
                before_ms.is_none_or(|before_ms| now_ms >= before_ms + REST_MS),
                "sent to its holder again at once"
            );
        }
        (fate.at, fate.attempt, fate.number) = (Some(sending.csp), sending.attempt, sending.number);
        match sending.number {
            Some(number) => self.sent.push((number, *sending.cargo)),
            None => fate.is_over = true,
        }
    }

    fn see_ending(&mut self, cargo: u64, ending: Ending, now_ms: u64) {
        let fate = self.fates.get_mut(&cargo).unwrap();
        assert!(!fate.is_over, "ended twice");
        fate.is_over = true;
        let is_unknown = fate.may_have_run || fate.at.is_some();
        match ending {
            Ending::OutcomeUnknown => assert!(fate.need.is_update() && is_unknown && now_ms >= fate.deadline_ms),
            Ending::Unanswered => assert!(!fate.need.is_update() && fate.attempt > 0 && now_ms >= fate.deadline_ms),
            Ending::TimeOver => {
                assert!(fate.attempt > 0 && now_ms >= fate.deadline_ms && !(fate.need.is_update() && is_unknown));
            }
            Ending::NoRoute(_) => assert!(!is_unknown || fate.attempt == 0, "{fate:?}"),
            Ending::Full { .. } | Ending::TooLate { .. } => assert_eq!(fate.attempt, 0),
            Ending::UnknownPool | Ending::OutsideWindow { .. } => panic!("the group has neither pools nor windows"),
            Ending::UnknownHolder => panic!("all tokens are of the group's CSPs"),
            Ending::Kills => assert!(!fate.need.is_update() && fate.attempt > 1, "{fate:?}"),
            Ending::GroupRemoved => panic!("nobody removed the group"),
        }
    }

    fn see_note(&mut self, note: &Completions) {
        for number in &note.done {
            let cargo = self.sent.iter().find(|(sent, _)| sent == number).unwrap().1;
            self.fates.get_mut(&cargo).unwrap().is_over = true;
        }
        for returned in &note.returned {
            let cargo = self.sent.iter().find(|(sent, _)| *sent == returned.number).unwrap().1;
            let fate = self.fates.get_mut(&cargo).unwrap();
            if !fate.is_over && fate.at.is_some() && fate.number == Some(returned.number) {
                fate.at = None;
                fate.may_have_run |= returned.code.outcome_is_unknown();
            }
        }
    }

    /// What the model says of itself is what was seen of it.
    fn agrees(&self, traffic: &Traffic<u64>) {
        let live: HashMap<_, _> = self.fates.iter().filter(|(_, fate)| !fate.is_over).collect();
        assert_eq!(traffic.open().len(), live.len(), "a request is forgotten, or kept after its end");
        assert_eq!(traffic.open().bytes(), live.len() * 10);
        for (_, open) in traffic.open().iter() {
            let at = match open.place {
                Place::At { csp, .. } => Some(csp),
                Place::Waiting(_) => None,
            };
            assert_eq!(live[&*open.cargo].at, at);
        }
        for csp in (0..3).map(CspIndex) {
            let there = |is_turn| {
                let there = live.values().filter(|fate| fate.at == Some(csp) && (fate.need == Need::Turn) == is_turn);
                u32::try_from(there.count()).unwrap()
            };
            let counted = traffic.roster().member(csp).map_or((0, 0), |member| (member.open(), member.turns()));
            assert_eq!(counted, (there(false), there(true)), "what is counted for {}", name(csp));
        }
    }
}

fn play(traffic: &mut Traffic<u64>, witness: &mut Witness, event: Event, now_ms: u64) {
    let effects = match event {
        Event::Take { need, deadline_ms, has_reply, holder } => {
            let cargo = witness.fates.len() as u64;
            let fate = Fate {
                need,
                deadline_ms: now_ms + deadline_ms,
                has_reply,
                at: None,
                attempt: 0,
                number: None,
                may_have_run: false,
                is_over: false,
                holder: holder.map(CspIndex),
                sent_to_holder_at_ms: None,
            };
            witness.fates.insert(cargo, fate);
            let holder = holder.map(|csp| NAMES[csp].to_owned());
            let arrival = Arrival { deadline_ms, has_reply, holder, ..arrival(cargo, need) };
            traffic.take(arrival, now_ms).into_iter().collect()
        }
        Event::Heard { csp, report } => traffic.heard(NAMES[csp], &report, now_ms).1,
        Event::Judged { csp, state } => traffic.judged(NAMES[csp], state, None, now_ms),
        Event::Deserted { csp } => traffic.deserted(NAMES[csp], None, now_ms),
        Event::NodeJudged { csps, deserted } => {
            let names = |csps: Vec<usize>| csps.into_iter().map(|place| NAMES[place].to_owned()).collect::<Vec<_>>();
            traffic.node_judged(&names(csps), &names(deserted), now_ms)
        }
        Event::Note { csp, done, returned } => {
            let number = |index: &prop::sample::Index| index.get(&witness.sent).0;
            let is_any = !witness.sent.is_empty();
            let done: Vec<_> = done.iter().filter(|_| is_any).map(number).collect();
            let returned: Vec<_> =
                returned.iter().filter(|_| is_any).map(|(index, code)| (number(index), *code)).collect();
            let note = note(NAMES[csp], &done, &returned);
            witness.see_note(&note);
            traffic.completed(&note, now_ms)
        }
        Event::Probed { none_there } => match witness.questions.pop() {
            Some((csp, question)) => {
                let outcome = if none_there { ProbeOutcome::NoResponders } else { ProbeOutcome::Unsettled };
                traffic.probed(csp, question, outcome, now_ms)
            }
            None => Vec::new(),
        },
        Event::Sweep => traffic.sweep(now_ms),
        Event::Reconnected => traffic.reconnected(now_ms),
        Event::Redefine { names } => {
            let names: Vec<_> = names.into_iter().map(|place| NAMES[place].to_owned()).collect();
            traffic.redefine(traffic.roster().replication(), &names, now_ms)
        }
    };
    witness.see(effects, now_ms);
    witness.agrees(traffic);
}

fn small_policy() -> Policy {
    Policy { open_requests_max: 12, csp_open_max: 4, ..policy() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// At one CSP at most, or waiting; ended exactly once; never forgotten; never sent after its deadline; attempts counted.
    #[test]
    fn every_request_has_one_fate(
        is_peer in any::<bool>(),
        events in prop::collection::vec((event(), 0u64..120), 1..120),
    ) {
        let replication = if is_peer { Replication::Peer } else { Replication::Primary };
        let mut traffic = Traffic::new(replication, NAMES.map(str::to_owned).to_vec(), small_policy());
        let mut witness = Witness::default();
        let mut now_ms = 0;
        for (event, pause_ms) in events {
            now_ms += pause_ms;
            play(&mut traffic, &mut witness, event, now_ms);
        }
        // Whatever happened before, time ends what is left.
        now_ms += 2_000 + policy().completion_grace_ms;
        play(&mut traffic, &mut witness, Event::Sweep, now_ms);
        play(&mut traffic, &mut witness, Event::Sweep, now_ms);
        prop_assert!(traffic.open().is_empty());
        prop_assert!(witness.fates.values().all(|fate| fate.is_over));
    }

    /// Once everybody is well again, everything that has time left is sent, whatever happened before.
    #[test]
    fn nobody_waits_while_somebody_could_take_it(
        is_peer in any::<bool>(),
        events in prop::collection::vec((event(), 0u64..60), 1..60),
    ) {
        let replication = if is_peer { Replication::Peer } else { Replication::Primary };
        let mut traffic = Traffic::new(replication, NAMES.map(str::to_owned).to_vec(), policy());
        let mut witness = Witness::default();
        let mut now_ms = 0;
        for (event, pause_ms) in events {
            now_ms += pause_ms;
            play(&mut traffic, &mut witness, event, now_ms);
        }
        now_ms += BACK_OFF_MAX_MS.max(REST_MAX_MS);
        play(&mut traffic, &mut witness, Event::Redefine { names: vec![0, 1, 2] }, now_ms);
        for csp in 0..3 {
            // A higher epoch than any before, and a position that nobody is behind.
            let report = Report { epoch: 9, primary: Some("b".to_owned()), applied: 5, ..report() };
            play(&mut traffic, &mut witness, Event::Heard { csp, report }, now_ms);
        }
        play(&mut traffic, &mut witness, Event::Sweep, now_ms);
        // What was sent to the holder of its transaction a moment ago rests.
        let waits = |open: &Open<u64>| {
            let may_be_sent = now_ms < open.deadline_ms && now_ms >= open.rests_until_ms;
            // And what may have ended two CSPs waits until that is known.
            matches!(open.place, Place::Waiting(_)) && may_be_sent && open.losses.suspicion(now_ms) != Suspicion::Open
        };
        let waiting: Vec<_> = traffic.open().iter().filter(|(_, open)| waits(open)).map(|(_, open)| &open.cargo).collect();
        prop_assert!(waiting.is_empty(), "{waiting:?}");
    }
}
