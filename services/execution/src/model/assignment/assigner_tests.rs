//! The rules case by case; `histories` has them under random events.

use super::super::fixture::{
    POLICY, SETTLED_MS, all_beat, at, beat, gray, only, primary, settled, silent, verdict, writes,
};
use super::*;
use holdfast_schemas::message::{CspState, Doubt};

const CSPS: [&str; 3] = ["a", "b", "c"];

#[test]
fn what_the_log_began_with_is_taken_over() {
    let mut assigner = silent(&CSPS, Vec::new());
    assert_eq!(assigner.decide(at(0)), Vec::new(), "nobody has read the log yet");
    assigner.heartbeat(&beat("b", 1, "a"), 0);
    let write = only(assigner.decide(at(0)));
    assert_eq!((write.assignment.csp.as_deref(), write.assignment.epoch, write.revision), (Some("a"), 1, 0));
    assert!(!write.announce, "the log knows it");
    assert_eq!(assigner.decide(at(0)), Vec::new(), "it is being written");
}

#[test]
fn a_holder_that_is_gone_is_replaced_at_once_under_a_higher_epoch() {
    let mut assigner = settled(&CSPS, Vec::new());
    assigner.judge(&verdict("a", CspState::Unavailable, Some("first")), SETTLED_MS);
    let write = only(assigner.decide(at(SETTLED_MS)));
    assert_eq!((write.assignment.csp.as_deref(), write.assignment.epoch), (Some("b"), 2));
    assert_eq!((write.revision, write.announce), (1, true));
    assert_eq!(write.assignment.cause, "a is unavailable");
    assert_eq!(write.previous.as_deref(), Some("a"));
}

#[test]
fn a_drained_holder_is_replaced_and_gets_nothing_back() {
    let mut assigner = settled(&CSPS, Vec::new());
    assigner.heartbeat(&Heartbeat { state: CspState::Draining, ..beat("a", 1, "a") }, SETTLED_MS);
    let write = only(assigner.decide(at(SETTLED_MS)));
    assert_eq!(write.assignment.cause, "a is draining");
    assigner.written(write.assignment, 2);
    for now_ms in (SETTLED_MS..SETTLED_MS + 20_000).step_by(100) {
        all_beat(&mut assigner, &CSPS, 2, "b", now_ms);
        assert_eq!(assigner.decide(at(now_ms)), Vec::new());
    }
}

#[test]
fn a_gray_holder_gives_way_once_and_gets_nothing_back() {
    let mut assigner = settled(&CSPS, Vec::new());
    assigner.judge(&gray("a", "first"), SETTLED_MS);
    let assignment = only(assigner.decide(at(SETTLED_MS))).assignment;
    assert_eq!((assignment.csp.as_deref(), assignment.epoch, assignment.gray_epoch), (Some("b"), 2, Some(2)));
    assert_eq!(assignment.cause, "a is gray: a message of the log has waited for 2001 ms");
    assigner.written(assignment, 2);
    for now_ms in (SETTLED_MS..SETTLED_MS + 20_000).step_by(100) {
        all_beat(&mut assigner, &CSPS, 2, "b", now_ms);
        if now_ms == SETTLED_MS + 5_000 {
            assigner.judge(&verdict("a", CspState::Available, Some("first")), now_ms);
        }
        assert_eq!(assigner.decide(at(now_ms)), Vec::new());
    }
}

#[test]
fn a_gray_holder_keeps_its_task_where_nobody_does_better() {
    let mut assigner = settled(&CSPS, vec![TaskDefinition::new("report")]);
    CSPS.iter().for_each(|csp| assigner.judge(&gray(csp, "first"), SETTLED_MS));
    assert_eq!(assigner.decide(at(SETTLED_MS)), Vec::new(), "all are slow");
    assigner.judge(&verdict("b", CspState::Suspect, Some("first")), SETTLED_MS);
    assert_eq!(assigner.decide(at(SETTLED_MS)), Vec::new(), "silent");
    assigner.judge(&verdict("b", CspState::Available, Some("first")), SETTLED_MS);
    assigner.heartbeat(&Heartbeat { applied: 20, ..beat("a", 1, "a") }, SETTLED_MS);
    let late_ms = SETTLED_MS + 150;
    all_beat(&mut assigner, &["b"], 1, "a", late_ms);
    assert_eq!(assigner.decide(at(late_ms)), Vec::new(), "out of step");
    assigner.heartbeat(&Heartbeat { applied: 20, ..beat("b", 1, "a") }, late_ms);
    assert_eq!(primary(assigner.decide(at(late_ms))), Some(("b".to_owned(), 2)));
}

#[test]
fn a_slow_group_does_not_throw_its_primary_around() {
    let mut assigner = settled(&CSPS, Vec::new());
    let (mut holder, mut revision, mut moved_at) = ("a".to_owned(), 1, Vec::new());
    for now_ms in (SETTLED_MS..SETTLED_MS + 10_000).step_by(100) {
        // Whoever is primary is gray at once, and the others are well.
        for csp in CSPS {
            assigner.heartbeat(&beat(csp, revision, &holder), now_ms);
            let change = if csp == holder { gray(csp, "first") } else { verdict(csp, CspState::Available, None) };
            assigner.judge(&change, now_ms);
        }
        for write in writes(assigner.decide(at(now_ms))) {
            revision += 1;
            holder = write.assignment.csp.clone().unwrap();
            assigner.written(write.assignment, revision);
            moved_at.push(now_ms);
        }
    }
    assert!(moved_at.is_sorted_by(|before, after| after - before >= POLICY.gray_rest_ms), "{moved_at:?}");
    assert_eq!(moved_at.len(), 10, "{moved_at:?}");
}

#[test]
fn whoever_leads_next_knows_from_the_record_that_a_task_rests() {
    let mut assigner = silent(&CSPS, Vec::new());
    for now_ms in (0..=SETTLED_MS).step_by(200) {
        all_beat(&mut assigner, &CSPS, 3, "b", now_ms);
    }
    let (group, task, csp) = ("g".to_owned(), TASK_REPLICATION.to_owned(), Some("b".to_owned()));
    let cause = "a is unavailable".to_owned();
    let recorded = Assignment { group, task, csp, epoch: 3, since_ms: 0, cause, gray_epoch: Some(2) };
    assigner.read(recorded, 3);
    assigner.judge(&gray("b", "first"), SETTLED_MS);
    assert_eq!(assigner.decide(at(SETTLED_MS)), Vec::new());
    let rested_ms = SETTLED_MS + POLICY.gray_rest_ms;
    all_beat(&mut assigner, &CSPS, 3, "b", rested_ms);
    assert_eq!(primary(assigner.decide(at(rested_ms))).map(|(_, epoch)| epoch), Some(4));
}

#[test]
fn without_anybody_fit_it_stays_until_somebody_is() {
    let mut assigner = settled(&["a", "b"], Vec::new());
    assigner.heartbeat(&Heartbeat { state: CspState::CatchingUp, ..beat("b", 1, "a") }, SETTLED_MS);
    assigner.judge(&verdict("a", CspState::Unavailable, None), SETTLED_MS);
    assert_eq!(assigner.decide(at(SETTLED_MS)), Vec::new());
    assigner.heartbeat(&beat("b", 1, "a"), SETTLED_MS + 100);
    assert_eq!(primary(assigner.decide(at(SETTLED_MS + 100))), Some(("b".to_owned(), 2)));
}

/// Everything was down: the primary comes back as one that reads the log, and nobody remembers that it served.
fn restarted(reads: impl Fn(u64) -> Heartbeat, until_ms: u64) -> Option<(u64, String)> {
    let mut assigner = silent(&CSPS, Vec::new());
    let mut revision = 0;
    for now_ms in (0..until_ms).step_by(100) {
        assigner.heartbeat(&Heartbeat { log_end: Some(1_000), ..reads(now_ms) }, now_ms);
        for csp in ["b", "c"] {
            assigner.heartbeat(&Heartbeat { applied: 1_000, ..beat(csp, 1, "a") }, now_ms);
        }
        for write in writes(assigner.decide(at(now_ms))) {
            if write.announce {
                return Some((now_ms, write.assignment.cause));
            }
            // What the log began with is put on record.
            revision += 1;
            assigner.written(write.assignment, revision);
        }
    }
    None
}

#[test]
fn one_that_still_reads_the_log_gives_way_as_soon_as_it_is_clear_that_it_will_for_long() {
    let reads = |applied| Heartbeat { applied, state: CspState::CatchingUp, ..beat("a", 1, "a") };
    // 10 positions of 1,000 in the first 100 ms: another 9,900 ms to go.
    let cause = "a is still reading the log, and b is ready".to_owned();
    assert_eq!(restarted(|now_ms| reads(now_ms / 10), 5_000), Some((100, cause)));
    // It does not get on at all.
    assert!(restarted(|_| reads(7), 5_000).is_some_and(|(at_ms, _)| at_ms == 100));
}

#[test]
fn one_that_is_about_to_be_ready_keeps_its_task() {
    let reads = |now_ms: u64| {
        let state = if now_ms < 400 { CspState::CatchingUp } else { CspState::Available };
        Heartbeat { applied: (600 + now_ms).min(1_000), state, ..beat("a", 1, "a") }
    };
    assert_eq!(restarted(reads, 5_000), None);
}

#[test]
fn one_that_has_read_everything_and_does_not_become_ready_gives_way_in_the_end() {
    let reads = |_| Heartbeat { applied: 1_000, state: CspState::CatchingUp, ..beat("a", 1, "a") };
    assert!(restarted(reads, 5_000).is_some_and(|(at_ms, _)| at_ms == POLICY.catch_up_ms_max));
}

#[test]
fn where_all_read_the_log_nothing_moves_until_somebody_is_ready() {
    let mut assigner = silent(&CSPS, Vec::new());
    for now_ms in (0..3_000).step_by(100) {
        for csp in CSPS {
            let reading = Heartbeat { applied: now_ms / 10, log_end: Some(1_000), ..beat(csp, 1, "a") };
            assigner.heartbeat(&Heartbeat { state: CspState::CatchingUp, ..reading }, now_ms);
        }
        assert!(writes(assigner.decide(at(now_ms))).iter().all(|write| !write.announce));
    }
}

/// The primary is gone, and of the others this is said: who takes over?
fn taken_over(said: [CspStateChange; 2]) -> Option<String> {
    let mut assigner = settled(&CSPS, Vec::new());
    said.iter().for_each(|change| assigner.judge(change, SETTLED_MS));
    assigner.judge(&verdict("a", CspState::Unavailable, Some("first")), SETTLED_MS);
    primary(assigner.decide(at(SETTLED_MS))).map(|(csp, _)| csp)
}

#[test]
fn where_the_primary_is_gone_the_best_of_the_doubted_takes_over() {
    let doubted = |csp, doubt| CspStateChange { doubt: Some(doubt), ..verdict(csp, CspState::Suspect, Some("first")) };
    let (silent, flapping) = (|csp| doubted(csp, Doubt::Silent), |csp| doubted(csp, Doubt::Flapping));
    let gone = |csp| verdict(csp, CspState::Unavailable, Some("first"));
    assert_eq!(taken_over([flapping("b"), silent("c")]).as_deref(), Some("b"));
    assert_eq!(taken_over([silent("b"), flapping("c")]).as_deref(), Some("c"));
    assert_eq!(taken_over([gray("b", "first"), silent("c")]).as_deref(), Some("c"));
    assert_eq!(taken_over([gray("b", "first"), gone("c")]).as_deref(), Some("b"));
    assert_eq!(taken_over([gone("b"), gone("c")]), None);
}

#[test]
fn one_that_drains_goes_on_where_the_others_are_doubted() {
    let mut assigner = settled(&CSPS, Vec::new());
    ["b", "c"].iter().for_each(|csp| assigner.judge(&gray(csp, "first"), SETTLED_MS));
    assigner.heartbeat(&Heartbeat { state: CspState::Draining, ..beat("a", 1, "a") }, SETTLED_MS);
    assert_eq!(assigner.decide(at(SETTLED_MS)), Vec::new());
}

#[test]
fn the_epoch_is_higher_than_any_that_a_copy_has_read() {
    let mut assigner = settled(&CSPS, Vec::new());
    assigner.heartbeat(&beat("b", 7, "c"), SETTLED_MS);
    assigner.judge(&verdict("c", CspState::Unavailable, None), SETTLED_MS);
    assert_eq!(primary(assigner.decide(at(SETTLED_MS))), Some(("a".to_owned(), 8)));
}

#[test]
fn the_log_is_right_where_it_knows_more() {
    let mut assigner = settled(&CSPS, Vec::new());
    assigner.heartbeat(&beat("b", 4, "b"), SETTLED_MS);
    let write = only(assigner.decide(at(SETTLED_MS)));
    assert_eq!((write.assignment.csp.as_deref(), write.assignment.epoch, write.announce), (Some("b"), 4, false));
}

#[test]
fn where_record_and_log_disagree_about_an_epoch_a_new_one_ends_it() {
    let mut assigner = settled(&CSPS, Vec::new());
    assigner.heartbeat(&beat("b", 2, "b"), SETTLED_MS);
    let write = only(assigner.decide(at(SETTLED_MS)));
    assigner.written(Assignment { csp: Some("c".to_owned()), ..write.assignment }, 2);
    let write = only(assigner.decide(at(SETTLED_MS)));
    assert_eq!((write.assignment.csp.as_deref(), write.assignment.epoch, write.announce), (Some("b"), 3, true));
}

#[test]
fn an_epoch_that_nobody_shows_is_announced_again_with_growing_pauses() {
    let mut assigner = settled(&CSPS, Vec::new());
    assigner.judge(&verdict("a", CspState::Unavailable, Some("first")), SETTLED_MS);
    let write = only(assigner.decide(at(SETTLED_MS)));
    assigner.written(write.assignment, 2);
    let mut announced = Vec::new();
    for now_ms in (SETTLED_MS..SETTLED_MS + 2_000).step_by(50) {
        all_beat(&mut assigner, &["b", "c"], 1, "a", now_ms);
        for effect in assigner.decide(at(now_ms)) {
            assert_eq!(effect, Effect::Announce(LogEpoch { epoch: 2, primary: "b".to_owned() }));
            announced.push(now_ms - SETTLED_MS);
        }
    }
    assert_eq!(announced, [100, 300, 700, 1_500]);
    let late_ms = SETTLED_MS + 20_000;
    assert_eq!(assigner.decide(at(late_ms)), Vec::new(), "nobody lives who could show it");
    assigner.heartbeat(&beat("c", 2, "b"), late_ms);
    assert_eq!(assigner.decide(at(late_ms)), Vec::new());
}

#[test]
fn a_lost_bucket_is_filled_again_and_epochs_go_on() {
    let mut assigner = settled(&CSPS, vec![TaskDefinition::new("report")]);
    assigner.bucket_lost();
    let again = writes(assigner.decide(at(SETTLED_MS)));
    assert_eq!(again.len(), 2, "{again:?}");
    assert!(again.iter().all(|write| write.revision == 0 && write.assignment.epoch == 1 && !write.announce));
}

#[test]
fn a_task_of_the_groups_own_is_given_to_somebody() {
    let mut assigner = silent(&CSPS, vec![TaskDefinition::new("report")]);
    assert_eq!(assigner.decide(at(0)), Vec::new(), "nobody is there");
    for now_ms in (0..2_000).step_by(100) {
        assigner.heartbeat(&Heartbeat { primary: None, ..beat("c", 0, "") }, now_ms);
        assert_eq!(assigner.decide(at(now_ms)), Vec::new(), "others may come");
    }
    assigner.heartbeat(&Heartbeat { primary: None, ..beat("c", 0, "") }, 2_000);
    let report = only(assigner.decide(at(2_000))).assignment;
    assert_eq!((report.task.as_str(), report.csp.as_deref(), report.epoch), ("report", Some("c"), 1));
}

#[test]
fn nothing_is_assigned_in_a_group_that_is_not_defined() {
    let mut assigner = settled(&CSPS, vec![TaskDefinition::new("report")]);
    assigner.undefine();
    all_beat(&mut assigner, &CSPS, 1, "a", SETTLED_MS);
    assert_eq!(assigner.decide(at(SETTLED_MS + 1_000)), Vec::new());
}
