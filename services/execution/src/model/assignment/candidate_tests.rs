//! When a holder is gone and when a CSP is fit, case by case.

use super::super::fixture::{POLICY, beat, gray, verdict};
use super::*;

fn heard(state: CspState) -> Candidate {
    let mut candidate = Candidate::default();
    candidate.heartbeat(&Heartbeat { state, ..beat("a", 1, "a") }, Some(0), &POLICY, 0);
    candidate
}

#[test]
fn what_it_reports_decides() {
    for state in CspState::ALL {
        let candidate = heard(state);
        let leaves = matches!(
            state,
            CspState::Draining
                | CspState::Maintenance
                | CspState::Quarantined
                | CspState::Removed
                | CspState::Unavailable
        );
        assert_eq!(candidate.gone(&POLICY, 0), leaves.then_some(Gone::Reports(state)), "{state}");
        assert_eq!(candidate.fit(&POLICY, 0).is_ok(), state == CspState::Available, "{state}");
    }
}

#[test]
fn silence_suspicion_and_lag_make_unfit_and_not_gone() {
    let candidate = heard(CspState::Available);
    assert_eq!(candidate.fit(&POLICY, 301), Err(Unfit::Silent));
    assert_eq!(candidate.gone(&POLICY, 100_000), None);
    let mut suspected = candidate.clone();
    suspected.judge(&verdict("a", CspState::Suspect, Some("first")), 10);
    assert_eq!(suspected.fit(&POLICY, 10), Err(Unfit::Judged(CspState::Suspect)));
    assert_eq!(suspected.gone(&POLICY, 10), None);
    for lag_ms in [Some(2_001), None] {
        let mut late = candidate.clone();
        late.heartbeat(&beat("a", 1, "a"), lag_ms, &POLICY, 10);
        assert_eq!((late.fit(&POLICY, 10), late.gone(&POLICY, 10)), (Err(Unfit::Behind), None));
    }
}

#[test]
fn one_that_is_gray_is_not_gone_and_not_fit() {
    let mut candidate = heard(CspState::Available);
    candidate.judge(&gray("a", "first"), 10);
    assert!(candidate.gray(&POLICY, 10).is_some_and(|cause| cause.starts_with("gray: ")));
    assert_eq!((candidate.gone(&POLICY, 10), candidate.fit(&POLICY, 10).is_ok()), (None, false));
    candidate.judge(&verdict("a", CspState::Suspect, Some("first")), 20);
    assert_eq!(candidate.gray(&POLICY, 20), None, "silent now");
    candidate.judge(&gray("a", "an earlier one"), 30);
    assert_eq!(candidate.gray(&POLICY, 30), None);
}

#[test]
fn a_verdict_counts_for_the_process_that_it_names() {
    let mut candidate = heard(CspState::Available);
    candidate.judge(&verdict("a", CspState::Unavailable, Some("an earlier one")), 10);
    assert_eq!(candidate.gone(&POLICY, 10), None);
    assert_eq!(candidate.gone(&POLICY, 301), Some(Gone::Judged), "silent: it may be the one that is meant");
    candidate.judge(&verdict("a", CspState::Unavailable, Some("first")), 10);
    assert_eq!(candidate.gone(&POLICY, 10), Some(Gone::Judged));
    candidate.heartbeat(&beat("a", 1, "a"), Some(0), &POLICY, 20);
    assert_eq!(candidate.gone(&POLICY, 20), Some(Gone::Judged), "only supervision takes it back");
    candidate.judge(&verdict("a", CspState::Available, Some("first")), 30);
    assert_eq!((candidate.gone(&POLICY, 30), candidate.fit(&POLICY, 30)), (None, Ok(())));
}

#[test]
fn a_verdict_on_nobody_in_particular_holds_until_the_next_heartbeat() {
    let mut candidate = heard(CspState::Available);
    candidate.judge(&verdict("a", CspState::Unavailable, None), 10);
    assert_eq!(candidate.gone(&POLICY, 10), Some(Gone::Judged));
    candidate.heartbeat(&beat("a", 1, "a"), Some(0), &POLICY, 20);
    assert_eq!(candidate.gone(&POLICY, 20), None);
}

#[test]
fn what_was_written_down_before_teaches_nothing_about_later() {
    let mut candidate = heard(CspState::Available);
    candidate.judged_before(&verdict("a", CspState::Unavailable, None), &POLICY, 5, 10);
    assert_eq!(candidate.gone(&POLICY, 10), None, "it lives");
    candidate.judge(&verdict("a", CspState::Available, Some("first")), 7);
    candidate.judged_before(&verdict("a", CspState::Unavailable, Some("first")), &POLICY, 5, 10);
    assert_eq!(candidate.gone(&POLICY, 10), None, "supervision was heard since");
    candidate.judged_before(&verdict("a", CspState::Unavailable, Some("first")), &POLICY, 8, 10);
    assert_eq!(candidate.gone(&POLICY, 10), Some(Gone::Judged), "an event was lost");
    let mut unheard = Candidate::default();
    unheard.judged_before(&verdict("a", CspState::Unavailable, None), &POLICY, 0, 10);
    assert_eq!(unheard.gone(&POLICY, 10), Some(Gone::Judged));
}

#[test]
fn a_process_that_comes_after_one_that_served_is_gone_until_it_serves() {
    let mut candidate = heard(CspState::Available);
    let second = |state| Heartbeat { incarnation: "second".to_owned(), state, ..beat("a", 1, "a") };
    candidate.heartbeat(&second(CspState::Joining), None, &POLICY, 10);
    candidate.heartbeat(&second(CspState::CatchingUp), None, &POLICY, 20);
    assert_eq!(candidate.gone(&POLICY, 20), Some(Gone::Restarted));
    candidate.heartbeat(&second(CspState::Available), Some(0), &POLICY, 30);
    assert_eq!(candidate.gone(&POLICY, 30), None);
    let mut first_start = heard(CspState::Joining);
    first_start.heartbeat(&second(CspState::Joining), None, &POLICY, 10);
    assert_eq!(first_start.gone(&POLICY, 10), None, "it never served");
}

#[test]
fn it_settles_with_time_and_anew_after_a_pause() {
    let mut candidate = heard(CspState::Available);
    for now_ms in (0..=1_000).step_by(100) {
        candidate.heartbeat(&beat("a", 1, "a"), Some(0), &POLICY, now_ms);
    }
    assert!(candidate.is_unsettled(&POLICY, 999) && !candidate.is_unsettled(&POLICY, 1_000));
    candidate.heartbeat(&beat("a", 1, "a"), Some(0), &POLICY, 1_500);
    assert!(candidate.is_unsettled(&POLICY, 2_400));
}
