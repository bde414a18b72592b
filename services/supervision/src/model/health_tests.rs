//! Health against stories, and against random but healthy groups.

use super::*;
use holdfast_schemas::message::CspState;
use proptest::prelude::*;

const LIMITS: Limits = Limits { stuck_ms_max: 2_000, lag_ms_max: 5_000, well_after_ms: 3_000, sample_ms: 100 };

fn beat(csp: &str, applied: u64) -> Heartbeat {
    Heartbeat {
        group: "g".to_owned(),
        csp: csp.to_owned(),
        node: "n".to_owned(),
        incarnation: "1".to_owned(),
        state: CspState::Available,
        applied,
        log_end: None,
        epoch: 1,
        primary: None,
        outstanding: 0,
        at_ms: 0,
        stuck_ms: None,
        unheard_ms: None,
        storage_error: None,
        query_us: None,
        update_us: None,
        connects: None,
        updates_refused: None,
        clock_ms: None,
        clock_ahead_ms: None,
    }
}

#[test]
fn a_copy_that_cannot_be_written_is_suspect_until_it_is_well_for_a_while() {
    let mut health = Health::new(LIMITS);
    let failing = Heartbeat { storage_error: Some("disk full".to_owned()), ..beat("a", 1) };
    assert_eq!(health.examine(&failing, 0), Some("its copy cannot be read or written: disk full"));
    assert!(health.examine(&beat("a", 1), 2_999).is_some());
    assert_eq!(health.examine(&beat("a", 1), 3_000), None);
}

#[test]
fn a_message_may_wait_for_a_while() {
    let mut health = Health::new(LIMITS);
    let waiting = |stuck_ms| Heartbeat { stuck_ms: Some(stuck_ms), ..beat("a", 1) };
    assert_eq!(health.examine(&waiting(2_000), 0), None);
    assert_eq!(health.examine(&waiting(2_001), 100), Some("a message of the log has waited for 2001 ms"));
}

#[test]
fn one_that_falls_behind_is_found_by_time() {
    let mut health = Health::new(LIMITS);
    let found = (0..10_000).step_by(100).find(|now| {
        assert_eq!(health.examine(&beat("a", 10 + now), *now), None);
        health.examine(&beat("b", 10), *now).is_some()
    });
    // What `a` had reached 100 ms in was more than `b` ever had, and 5,000 ms later `b` still has not reached it.
    assert_eq!(found, Some(5_100));
}

#[test]
fn a_pause_of_the_load_is_no_lag() {
    let mut health = Health::new(LIMITS);
    for now in (0..20_000).step_by(100) {
        assert_eq!(health.examine(&beat("a", 10), now), None);
        assert_eq!(health.examine(&beat("b", 10), now), None);
    }
}

#[test]
fn ten_times_slower_than_the_others_for_several_heartbeats_is_slow() {
    let mut health = Health::new(LIMITS);
    let timed = |csp, query_us| Heartbeat { query_us: Some(query_us), ..beat(csp, 1) };
    let mut found = Vec::new();
    for turn in 0..6 {
        let now = turn * 100;
        assert_eq!(health.examine(&timed("a", 8_000), now), None);
        assert_eq!(health.examine(&timed("b", 9_000), now), None);
        found.push(health.examine(&timed("c", 90_000), now).is_some());
    }
    assert_eq!(found, [false, false, false, false, true, true]);
    assert!(health.examine(&timed("c", 45_000), 3_500).is_none(), "well for long enough");
}

#[test]
fn nobody_is_slow_among_the_slow_or_below_the_floor() {
    let mut health = Health::new(LIMITS);
    let timed = |csp, query_us| Heartbeat { query_us: Some(query_us), ..beat(csp, 1) };
    for turn in 0..20 {
        let now = turn * 100;
        assert_eq!(health.examine(&timed("a", 400_000), now), None);
        assert_eq!(health.examine(&timed("b", 900_000), now), None);
        assert_eq!(health.examine(&timed("c", 300_000), now), None);
    }
    let mut health = Health::new(LIMITS);
    for turn in 0..20 {
        let now = turn * 100;
        assert_eq!(health.examine(&timed("a", 1_000), now), None);
        assert_eq!(health.examine(&timed("b", 49_000), now), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Copies that are behind by less than what is allowed, in time, are never suspected, however much is written.
    #[test]
    fn bounded_lag_is_never_suspected(
        steps in prop::collection::vec((10u64..200, 0u64..1_000), 50..200),
        behind_ms in prop::collection::vec(0u64..4_700, 3),
    ) {
        let mut health = Health::new(LIMITS);
        let (mut now, mut end) = (0, 0);
        let mut log = vec![(0, 0)];
        for (wait, written) in steps {
            now += wait;
            end += written;
            log.push((now, end));
            for (number, behind) in behind_ms.iter().enumerate() {
                let seen_at = now.saturating_sub(*behind);
                let applied = log.iter().rev().find(|(at, _)| *at <= seen_at).map_or(0, |(_, end)| *end);
                let name = number.to_string();
                prop_assert_eq!(health.examine(&beat(&name, applied), now), None);
            }
        }
    }
}
