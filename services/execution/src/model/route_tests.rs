//! The routing rules case by case, and under random groups.

use super::*;
use crate::model::member::Report;
use holdfast_schemas::message::CspState;
use proptest::prelude::*;

const INTERVAL_MS: u64 = 250;

fn report(applied: u64) -> Report {
    Report {
        incarnation: "i".to_owned(),
        state: CspState::Available,
        applied,
        log_end: applied,
        epoch: 1,
        primary: Some("a".to_owned()),
        outstanding: 0,
    }
}

fn roster(replication: Replication) -> Roster {
    Roster::new(replication, ["a", "b", "c"].map(str::to_owned).to_vec(), INTERVAL_MS)
}

/// A roster whose CSPs have all reported that they stand at `applied`.
fn reported(replication: Replication, applied: [u64; 3]) -> Roster {
    let mut roster = roster(replication);
    for (name, applied) in ["a", "b", "c"].into_iter().zip(applied) {
        assert!(roster.observe(name, &report(applied), 0));
    }
    roster
}

fn chosen(roster: &Roster, need: Need) -> &str {
    roster.name(choose(roster, need, 0).unwrap())
}

#[test]
fn updates_of_a_primary_group_go_to_the_primary_or_nowhere() {
    let mut roster = reported(Replication::Primary, [5, 5, 5]);
    assert_eq!(chosen(&roster, Need::Update), "a");
    roster.observe("a", &Report { state: CspState::Draining, ..report(5) }, 0);
    let primary = roster.find("a").unwrap();
    assert_eq!(choose(&roster, Need::Update, 0), Err(NoRoute::PrimaryUnavailable(primary)));
}

#[test]
fn the_highest_epoch_names_the_primary() {
    let mut roster = reported(Replication::Primary, [5, 5, 5]);
    roster.observe("b", &Report { epoch: 2, primary: Some("b".to_owned()), ..report(6) }, 0);
    roster.observe("a", &report(6), 0);
    assert_eq!(chosen(&roster, Need::Update), "b");
    roster.observe("c", &Report { epoch: 3, primary: Some("stranger".to_owned()), ..report(7) }, 0);
    assert_eq!(choose(&roster, Need::Update, 0), Err(NoRoute::PrimaryUnknown));
}

#[test]
fn a_primary_that_nobody_named_is_unknown() {
    assert_eq!(choose(&roster(Replication::Primary), Need::Update, 0), Err(NoRoute::PrimaryUnknown));
    assert_eq!(choose(&roster(Replication::Peer), Need::Update, 0), Err(NoRoute::NobodyAvailable));
}

#[test]
fn silence_of_three_intervals_takes_a_csp_out() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    roster.observe("b", &report(5), 3 * INTERVAL_MS);
    let index = choose(&roster, Need::Update, 3 * INTERVAL_MS + 1).unwrap();
    assert_eq!(roster.name(index), "b");
    assert_eq!(choose(&roster, Need::Update, 6 * INTERVAL_MS + 1), Err(NoRoute::NobodyAvailable));
}

#[test]
fn a_stranger_is_not_heard() {
    let mut roster = roster(Replication::Peer);
    assert!(!roster.observe("stranger", &report(9), 0));
    assert_eq!(roster.log_end(), 0);
}

#[test]
fn equals_take_turns() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    let mut names = Vec::new();
    for _ in 0..6 {
        let index = choose(&roster, Need::Any { max_lag_ms: None }, 0).unwrap();
        roster.forwarded(index);
        names.push(roster.name(index).to_owned());
    }
    assert_eq!(names, ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn reported_load_counts() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    roster.observe("a", &Report { outstanding: 10, ..report(5) }, 0);
    roster.observe("c", &Report { outstanding: 10, ..report(5) }, 0);
    for _ in 0..10 {
        let index = choose(&roster, Need::Update, 0).unwrap();
        assert_eq!(roster.name(index), "b");
        roster.forwarded(index);
    }
}

#[test]
fn a_late_copy_serves_readers_that_allow_it() {
    let mut roster = reported(Replication::Peer, [10, 10, 10]);
    roster.observe("a", &report(20), 100);
    roster.observe("b", &report(10), 600);
    roster.observe("c", &report(10), 600);
    let choose_at = |max_lag_ms, roster: &Roster| choose(roster, Need::Any { max_lag_ms }, 600);
    assert_eq!(choose_at(Some(499), &roster).map(|index| roster.name(index)), Ok("a"));
    let index = choose_at(Some(500), &roster).unwrap();
    roster.forwarded(index);
    assert_ne!(choose_at(Some(500), &roster).unwrap(), index);
    roster.observe("a", &Report { state: CspState::CatchingUp, ..report(20) }, 600);
    assert_eq!(choose_at(Some(499), &roster), Err(NoRoute::AllBehind));
    assert!(choose_at(None, &roster).is_ok());
}

#[test]
fn a_session_finds_a_copy_that_has_its_position() {
    let mut roster = reported(Replication::Primary, [10, 30, 20]);
    for (name, applied) in [("a", 10), ("b", 30), ("c", 20)] {
        roster.observe(name, &report(applied), 600);
    }
    let choose_at = |after| choose(&roster, Need::Session { after }, 600).map(|index| roster.name(index));
    assert_eq!(choose_at(25), Ok("b"));
    assert_eq!(choose_at(99), Ok("b"), "a position from the future: the one in step");
    roster.observe("b", &Report { state: CspState::Draining, ..report(30) }, 600);
    let choose_at = |after| choose(&roster, Need::Session { after }, 600).map(|index| roster.name(index));
    assert_eq!(choose_at(99), Ok("c"), "nobody is in step: the nearest");
}

#[test]
fn sessions_spread_over_copies_in_step() {
    let mut roster = reported(Replication::Peer, [10, 10, 10]);
    roster.observe("c", &report(11), 10);
    let mut count = [0; 3];
    for _ in 0..30 {
        let index = choose(&roster, Need::Session { after: 11 }, 10).unwrap();
        roster.forwarded(index);
        count[index.0] += 1;
    }
    assert!(count.iter().all(|share| *share >= 9), "{count:?}");
}

#[test]
fn strong_prefers_the_primary_until_it_is_the_busier_way() {
    let mut roster = reported(Replication::Primary, [10, 10, 10]);
    assert_eq!(chosen(&roster, Need::Strong), "a");
    roster.observe("a", &Report { outstanding: 50, ..report(10) }, 0);
    assert_ne!(chosen(&roster, Need::Strong), "a");
}

#[test]
fn a_heartbeat_draws_no_burst() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    let names = ["a", "b", "c"];
    let mut recent = std::collections::VecDeque::new();
    // Ten requests per millisecond, answered at once; heartbeats come one after the other, every 84 ms.
    for now in 0..3_000u64 {
        if now % 84 == 0 {
            let name = names[(now / 84 % 3) as usize];
            roster.observe(name, &report(5), now);
        }
        for _ in 0..10 {
            let index = choose(&roster, Need::Any { max_lag_ms: None }, now).unwrap();
            roster.forwarded(index);
            recent.push_back(index.0);
            if recent.len() > 300 {
                recent.pop_front();
            }
        }
        if now > 1_000 {
            for csp in 0..3 {
                let share = recent.iter().filter(|index| **index == csp).count();
                assert!(share >= 50, "CSP {csp} got {share} of the last 300 at {now} ms");
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Case {
    replication: Replication,
    heartbeats: Vec<(usize, Report, u64)>,
    wait_ms: u64,
    forwarded: Vec<usize>,
    need: Need,
}

fn heartbeat() -> impl Strategy<Value = (usize, Report, u64)> {
    let state = prop_oneof![
        4 => Just(CspState::Available),
        1 => Just(CspState::CatchingUp),
        1 => Just(CspState::Draining),
        1 => Just(CspState::Quarantined),
    ];
    (0usize..3, state, 0u64..50, 0u64..20, 0u64..3, 0usize..4, 0u32..40, 0u64..300).prop_map(
        |(csp, state, applied, ahead, epoch, primary, outstanding, wait_ms)| {
            let primary = ["a", "b", "c"].get(primary).map(|name| (*name).to_owned());
            let log_end = applied + ahead;
            let report = Report { incarnation: "i".to_owned(), state, applied, log_end, epoch, primary, outstanding };
            (csp, report, wait_ms)
        },
    )
}

fn need() -> impl Strategy<Value = Need> {
    prop_oneof![
        Just(Need::Update),
        prop::option::of(0u64..1_000).prop_map(|max_lag_ms| Need::Any { max_lag_ms }),
        (0u64..80).prop_map(|after| Need::Session { after }),
        Just(Need::Strong),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let replication = prop_oneof![Just(Replication::Primary), Just(Replication::Peer)];
    let heartbeats = prop::collection::vec(heartbeat(), 0..20);
    (replication, heartbeats, 0u64..1_000, prop::collection::vec(0usize..3, 0..30), need()).prop_map(
        |(replication, heartbeats, wait_ms, forwarded, need)| Case {
            replication,
            heartbeats,
            wait_ms,
            forwarded,
            need,
        },
    )
}

fn play(case: &Case) -> (Roster, u64) {
    let mut roster = roster(case.replication);
    let mut now = 0;
    for (csp, report, wait_ms) in &case.heartbeats {
        now += wait_ms;
        roster.observe(["a", "b", "c"][*csp], report, now);
    }
    for csp in &case.forwarded {
        roster.forwarded(CspIndex(*csp));
    }
    (roster, now + case.wait_ms)
}

/// Whether that CSP may get the request, said as plainly as the rules can be said.
fn allowed(roster: &Roster, need: Need, csp: CspIndex) -> bool {
    let member = roster.member(csp).unwrap();
    match need {
        Need::Update => roster.replication() == Replication::Peer || roster.primary() == Some(csp),
        Need::Any { max_lag_ms: None } | Need::Session { .. } | Need::Strong => true,
        Need::Any { max_lag_ms: Some(bound) } => member.lag_ms().is_some_and(|lag| lag <= bound),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// What is chosen is available and allowed; nobody is chosen only if nobody is.
    #[test]
    fn chooses_an_allowed_csp_or_there_is_none(case in case()) {
        let (roster, now) = play(&case);
        let possible: Vec<_> = (0..3)
            .map(CspIndex)
            .filter(|csp| roster.available(*csp, now) && allowed(&roster, case.need, *csp))
            .collect();
        match choose(&roster, case.need, now) {
            Ok(csp) => prop_assert!(possible.contains(&csp)),
            Err(why) => prop_assert!(possible.is_empty(), "{why:?} although {possible:?}"),
        }
    }

    /// A session never gets a copy out of step while another one has its position.
    #[test]
    fn sessions_get_a_copy_that_is_there_or_nearly(case in case(), after in 0u64..80) {
        let (roster, now) = play(&case);
        let there = |csp: CspIndex| roster.member(csp).is_some_and(|member| member.applied() >= after);
        if let Ok(csp) = choose(&roster, Need::Session { after }, now) {
            let somebody_is = (0..3).map(CspIndex).any(|other| roster.available(other, now) && there(other));
            let in_step = roster.member(csp).unwrap().lag_ms().is_some_and(|lag| lag <= roster.in_step_ms());
            prop_assert!(there(csp) || in_step || !somebody_is);
        }
    }

    /// Whatever was reported, requests sent one after the other even the loads out.
    #[test]
    fn loads_level_out(outstanding in prop::array::uniform3(0u32..50), requests in 200usize..400) {
        let mut roster = roster(Replication::Peer);
        for (name, outstanding) in ["a", "b", "c"].into_iter().zip(outstanding) {
            roster.observe(name, &Report { outstanding, ..report(1) }, 0);
        }
        for _ in 0..requests {
            let index = choose(&roster, Need::Any { max_lag_ms: None }, 0).unwrap();
            roster.forwarded(index);
        }
        let loads: Vec<_> = (0..3).map(|csp| roster.member(CspIndex(csp)).unwrap().load(0)).collect();
        let least = loads.iter().copied().fold(f64::MAX, f64::min);
        let most = loads.iter().copied().fold(0.0, f64::max);
        prop_assert!(most - least <= 1.0, "{loads:?}");
    }
}
