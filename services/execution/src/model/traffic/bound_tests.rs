//! Messages of open transactions: only the CSP that holds the transaction can carry them out, and each is to be carried out once.

use super::tests::{arrival, endings, keep_alive, name, only_sending, report, sendings, sent, traffic};
use super::*;

/// A message of a transaction that `b` holds, sent there at 0 ms.
fn bound() -> (Traffic<u64>, Sending<u64>) {
    let mut traffic = traffic(Replication::Primary);
    let message = Arrival { holder: Some("b".to_owned()), begins: false, ..arrival(1, Need::Update) };
    let sending = sent(traffic.take(message, 0));
    assert_eq!((name(sending.csp), sending.attempt), ("b", 1));
    (traffic, sending)
}

#[test]
fn one_whose_csp_is_silent_is_sent_once_and_again_when_it_is_heard_again() {
    let (mut traffic, _) = bound();
    for now_ms in (10..=1_500).step_by(10) {
        keep_alive(&mut traffic, &["a", "c"], now_ms);
        assert!(sendings(traffic.sweep(now_ms)).is_empty(), "{now_ms}");
    }
    let again = only_sending(traffic.heard("b", &report(), 1_500).1);
    assert_eq!((name(again.csp), again.attempt, again.is_recovery), ("b", 2, true));
    for now_ms in (1_510..=4_000).step_by(10) {
        keep_alive(&mut traffic, &["a", "b", "c"], now_ms);
        assert!(sendings(traffic.sweep(now_ms)).is_empty(), "{now_ms}");
    }
}

#[test]
fn one_whose_csp_connects_again_and_again_is_sent_with_growing_rests() {
    let (mut traffic, _) = bound();
    let mut sent_at_ms = vec![0];
    for now_ms in (10..=3_000).step_by(10) {
        let mut effects = keep_alive(&mut traffic, &["a", "c"], now_ms);
        effects.extend(traffic.heard("b", &Report { connects: Some(now_ms), ..report() }, now_ms).1);
        effects.extend(traffic.sweep(now_ms));
        sent_at_ms.extend(sendings(effects).iter().map(|_| now_ms));
    }
    let rests: Vec<_> = sent_at_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(rests, [20, 40, 80, 160, 320, 640, 1_000]);
}

#[test]
fn one_for_which_nobody_was_found_is_tried_again_there() {
    let (mut traffic, first) = bound();
    let effects = traffic.sweep(25);
    let [Effect::Probe { csp, question }] = effects[..] else { panic!("{effects:?}") };
    assert_eq!(csp, first.csp);
    let again = only_sending(traffic.probed(csp, question, ProbeOutcome::NoResponders, 26));
    assert_eq!(
        (name(again.csp), again.attempt),
        ("b", 2),
        "a connection that was lost comes again, and the transaction is there"
    );
}

#[test]
fn one_whose_csp_is_judged_or_replaced_goes_to_whoever_can_settle_it() {
    let (mut traffic, _) = bound();
    let elsewhere = only_sending(traffic.judged("b", CspState::Unavailable, Some("1"), 50));
    assert_eq!((name(elsewhere.csp), elsewhere.is_recovery), ("a", true));
    let (mut traffic, _) = bound();
    let (_, effects) = traffic.heard("b", &Report { incarnation: "2".to_owned(), ..report() }, 50);
    assert_eq!(name(only_sending(effects).csp), "b", "the next process says that the transaction is gone");
}

#[test]
fn one_of_a_csp_that_the_group_does_not_have_is_given_to_nobody() {
    let mut traffic = traffic(Replication::Primary);
    let message = Arrival { holder: Some("z".to_owned()), begins: false, ..arrival(1, Need::Update) };
    let ended = traffic.take(message, 0);
    assert!(matches!(ended, Some(Effect::End { ending: Ending::UnknownHolder, .. })), "{ended:?}");
}

#[test]
fn one_whose_csp_stays_silent_ends_unknown_at_its_deadline() {
    let (mut traffic, _) = bound();
    let end_ms = 5_000 + Policy::for_tests().completion_grace_ms;
    assert!(endings(traffic.sweep(end_ms - 1)).is_empty());
    assert_eq!(endings(traffic.sweep(end_ms)), [Ending::OutcomeUnknown]);
}
