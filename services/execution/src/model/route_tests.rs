//! The routing rules case by case, and under random groups.

use super::*;
use crate::model::member::Report;
use crate::model::policy::{Policy, Silence};
use crate::model::roster::Heard;
use holdfast_schemas::message::{CspState, PoolDefinition, SupervisionPolicy, UpdateRefusal};
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
        query_us: None,
        update_us: None,
        clock_ms: None,
        connects: None,
        updates_refused: None,
    }
}

fn policy() -> Policy {
    Policy {
        silence: Silence { heartbeat_interval_ms: INTERVAL_MS, lost_after_ms: 5 * INTERVAL_MS },
        ..Policy::for_tests()
    }
}

fn roster(replication: Replication) -> Roster {
    Roster::new(replication, ["a", "b", "c"].map(str::to_owned).to_vec(), policy())
}

/// A roster whose CSPs have all reported that they stand at `applied`.
fn reported(replication: Replication, applied: [u64; 3]) -> Roster {
    let mut roster = roster(replication);
    for (name, applied) in ["a", "b", "c"].into_iter().zip(applied) {
        assert!(matches!(roster.observe(name, &report(applied), 0), Heard::Known(_)));
    }
    roster
}

/// The same CSP after it was set aside because of the log.
fn set_aside(roster: &mut Roster, name: &str, applied: u64) {
    let refusal = UpdateRefusal { code: ErrorCode::LogLost, reason: "the log ends at 3".to_owned(), stalled: false };
    let state = CspState::Quarantined;
    roster.observe(name, &Report { state, updates_refused: Some(refusal), ..report(applied) }, 0);
}

#[test]
fn with_the_log_lost_what_needs_no_log_is_answered_and_all_else_is_refused_at_once() {
    for replication in [Replication::Primary, Replication::Peer] {
        let mut roster = reported(replication, [5, 6, 5]);
        set_aside(&mut roster, "a", 5);
        set_aside(&mut roster, "b", 6);
        let waits = choose(&roster, Need::Any { max_lag_ms: None }.into(), 0);
        assert_eq!(waits.map(|csp| roster.name(csp).to_owned()), Ok("c".to_owned()), "one still has its log");
        set_aside(&mut roster, "c", 5);
        for need in [Need::Any { max_lag_ms: None }, Need::Session { after: 6 }] {
            assert_eq!(chosen(&roster, need), "b", "the one that is farthest");
        }
        for need in [Need::Update, Need::Turn, Need::Strong, Need::Session { after: 7 }] {
            let refused = choose(&roster, need.into(), 0);
            assert!(matches!(refused, Err(NoRoute::LogRefuses { code: ErrorCode::LogLost, .. })), "{refused:?}");
        }
        let bounded = choose(&roster, Need::Any { max_lag_ms: Some(1_000) }.into(), 0);
        assert!(matches!(bounded, Err(NoRoute::LogRefuses { .. })), "nobody knows how late they are");
        roster.observe("c", &Report { state: CspState::Joining, ..report(5) }, 0);
        assert!(!matches!(choose(&roster, Need::Update.into(), 0), Err(NoRoute::LogRefuses { .. })), "c may come");
    }
}

#[test]
fn with_the_log_lost_queries_stay_in_their_pool_and_nobody_gets_more_than_it_may_have() {
    let mut roster = reported(Replication::Primary, [5, 6, 5]);
    let pool = |name: &str, overflow| PoolDefinition { name: name.to_owned(), csps: vec!["a".to_owned()], overflow };
    roster.redefine_pools(&[pool("strict", false), pool("wide", true)]);
    ["a", "b", "c"].into_iter().zip([5, 6, 5]).for_each(|(name, applied)| set_aside(&mut roster, name, applied));
    let query = |roster: &Roster, pool| {
        let pool = roster.pools().find(pool);
        choose(roster, Demand { pool, ..Need::Any { max_lag_ms: None }.into() }, 0)
    };
    let (a, b) = (roster.find("a").unwrap(), roster.find("b").unwrap());
    assert_eq!((query(&roster, "strict"), query(&roster, "wide")), (Ok(a), Ok(a)), "though b is farther");
    let again =
        Demand { pool: roster.pools().find("strict"), avoided: Some(a), ..Need::Any { max_lag_ms: None }.into() };
    let waits = choose(&roster, again, 0);
    assert!(waits.is_err() && !matches!(waits, Err(NoRoute::LogRefuses { .. })), "a takes it in a moment: {waits:?}");
    for _ in 0..policy().csp_open_max {
        roster.sent(a, Need::Any { max_lag_ms: None });
    }
    let full = Err(NoRoute::AllFull);
    assert_eq!((query(&roster, "strict"), query(&roster, "wide")), (full, full), "a full one is there still");
    assert_eq!(chosen(&roster, Need::Any { max_lag_ms: None }), "b");
    // Then `a` is gone, and what may go beyond its pool does.
    roster.member_mut(a).unwrap().gone_at_ms = Some(0);
    assert!(matches!(query(&roster, "strict"), Err(NoRoute::PoolUnavailable(_))));
    assert_eq!(query(&roster, "wide"), Ok(b));
}

fn chosen(roster: &Roster, need: Need) -> &str {
    roster.name(choose(roster, need.into(), 0).unwrap())
}

#[test]
fn silence_means_what_the_group_says_also_when_that_changes() {
    let mut roster = Roster::new(Replication::Primary, vec!["a".to_owned()], Policy::for_tests());
    let patient = SupervisionPolicy { heartbeat_interval_ms: 1_000, ..SupervisionPolicy::default() };
    let a = roster.find("a").unwrap();
    roster.observe("a", &report(1), 0);
    assert!(roster.available(a, 300) && !roster.available(a, 301));
    assert_eq!((roster.lost(500), roster.lost(501)), (vec![], vec![a]));
    roster.set_silence(Silence::new(&patient));
    assert!(roster.available(a, 3_000) && !roster.available(a, 3_001));
    assert_eq!((roster.lost(5_000), roster.lost(5_001)), (vec![], vec![a]));
    let hasty = SupervisionPolicy { heartbeat_interval_ms: 200, heartbeats_missed: 2, ..patient };
    roster.set_silence(Silence::new(&hasty));
    assert_eq!((roster.lost(600), roster.lost(601)), (vec![], vec![a]), "not before it gets nothing any more");
}

#[test]
fn updates_of_a_primary_group_go_to_the_primary_or_nowhere() {
    let mut roster = reported(Replication::Primary, [5, 5, 5]);
    assert_eq!(chosen(&roster, Need::Update), "a");
    let primary = roster.find("a").unwrap();
    let avoiding = Demand { avoided: Some(primary), ..Need::Update.into() };
    assert_eq!(choose(&roster, avoiding, 0), Err(NoRoute::PrimaryUnavailable(primary)));
    roster.observe("a", &Report { state: CspState::Draining, ..report(5) }, 0);
    assert_eq!(chosen(&roster, Need::Update), "a", "a primary that drains answers until another one does");
    assert_ne!(chosen(&roster, Need::Strong), "a", "and gets nothing else");
    roster.observe("a", &Report { state: CspState::CatchingUp, ..report(5) }, 0);
    assert_eq!(choose(&roster, Need::Update.into(), 0), Err(NoRoute::PrimaryUnavailable(primary)));
}

#[test]
fn who_drains_answers_queries_while_nobody_else_can() {
    for replication in [Replication::Primary, Replication::Peer] {
        let mut roster = reported(replication, [5, 5, 5]);
        for (name, state) in [("a", CspState::Draining), ("b", CspState::Maintenance), ("c", CspState::Maintenance)] {
            roster.observe(name, &Report { state, ..report(5) }, 0);
        }
        for need in [Need::Strong, Need::Any { max_lag_ms: None }, Need::Session { after: 5 }] {
            assert_eq!(chosen(&roster, need), "a", "{need:?}");
        }
        let update = choose(&roster, Need::Update.into(), 0);
        assert_eq!(update.is_ok(), replication == Replication::Primary, "{update:?}");
        roster.observe("b", &report(5), 0);
        assert_eq!(chosen(&roster, Need::Strong), "b");
    }
}

#[test]
fn the_highest_epoch_names_the_primary() {
    let mut roster = reported(Replication::Primary, [5, 5, 5]);
    roster.observe("b", &Report { epoch: 2, primary: Some("b".to_owned()), ..report(6) }, 0);
    roster.observe("a", &report(6), 0);
    assert_eq!(chosen(&roster, Need::Update), "b");
    roster.observe("c", &Report { epoch: 3, primary: Some("stranger".to_owned()), ..report(7) }, 0);
    assert_eq!(choose(&roster, Need::Update.into(), 0), Err(NoRoute::PrimaryUnknown));
}

#[test]
fn a_primary_that_nobody_named_is_unknown() {
    assert_eq!(choose(&roster(Replication::Primary), Need::Update.into(), 0), Err(NoRoute::PrimaryUnknown));
    assert_eq!(choose(&roster(Replication::Peer), Need::Update.into(), 0), Err(NoRoute::NobodyAvailable));
}

#[test]
fn silence_of_three_intervals_takes_a_csp_out() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    roster.observe("b", &report(5), 3 * INTERVAL_MS);
    let index = choose(&roster, Need::Update.into(), 3 * INTERVAL_MS + 1).unwrap();
    assert_eq!(roster.name(index), "b");
    assert_eq!(choose(&roster, Need::Update.into(), 6 * INTERVAL_MS + 1), Err(NoRoute::NobodyAvailable));
}

#[test]
fn a_stranger_is_not_heard() {
    let mut roster = roster(Replication::Peer);
    assert_eq!(roster.observe("stranger", &report(9), 0), Heard::Stranger);
    assert_eq!(roster.log_end(), 0);
}

#[test]
fn equals_take_turns() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    let mut names = Vec::new();
    for _ in 0..6 {
        let index = choose(&roster, Need::Any { max_lag_ms: None }.into(), 0).unwrap();
        roster.sent(index, Need::Update);
        names.push(roster.name(index).to_owned());
    }
    assert_eq!(names, ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn reported_load_counts() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    // Half of what was reported before is kept.
    roster.observe("a", &Report { outstanding: 20, ..report(5) }, 0);
    roster.observe("c", &Report { outstanding: 20, ..report(5) }, 0);
    for _ in 0..10 {
        let index = choose(&roster, Need::Update.into(), 0).unwrap();
        assert_eq!(roster.name(index), "b");
        roster.sent(index, Need::Update);
    }
}

#[test]
fn a_late_copy_serves_readers_that_allow_it() {
    let mut roster = reported(Replication::Peer, [10, 10, 10]);
    roster.observe("a", &report(20), 100);
    roster.observe("b", &report(10), 600);
    roster.observe("c", &report(10), 600);
    let choose_at = |max_lag_ms, roster: &Roster| choose(roster, Need::Any { max_lag_ms }.into(), 600);
    assert_eq!(choose_at(Some(499), &roster).map(|index| roster.name(index)), Ok("a"));
    let index = choose_at(Some(500), &roster).unwrap();
    roster.sent(index, Need::Update);
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
    let choose_at = |after| choose(&roster, Need::Session { after }.into(), 600).map(|index| roster.name(index));
    assert_eq!(choose_at(25), Ok("b"));
    assert_eq!(choose_at(99), Ok("b"), "a position from the future: the one in step");
    roster.observe("b", &Report { state: CspState::Draining, ..report(30) }, 600);
    let choose_at = |after| choose(&roster, Need::Session { after }.into(), 600).map(|index| roster.name(index));
    assert_eq!(choose_at(99), Ok("c"), "nobody is in step: the nearest");
}

#[test]
fn sessions_spread_over_copies_in_step() {
    let mut roster = reported(Replication::Peer, [10, 10, 10]);
    roster.observe("c", &report(11), 10);
    let mut count = [0; 3];
    for _ in 0..30 {
        let index = choose(&roster, Need::Session { after: 11 }.into(), 10).unwrap();
        roster.sent(index, Need::Update);
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
    let mut open = std::collections::VecDeque::new();
    // Ten requests per millisecond, named in a note 5 ms later; heartbeats come one after the other, every 84 ms, and say
    // what the CSP has of us and as much of another instance.
    for now in 0..3_000u64 {
        if now % 84 == 0 {
            let csp = (now / 84 % 3) as usize;
            let outstanding = 2 * roster.member(CspIndex(csp)).unwrap().open();
            roster.observe(names[csp], &Report { outstanding, ..report(5) }, now);
        }
        while open.front().is_some_and(|(_, sent_at)| now - sent_at >= 5) {
            let (csp, _) = open.pop_front().unwrap();
            roster.member_mut(csp).unwrap().left(Need::Update);
        }
        for _ in 0..10 {
            let index = choose(&roster, Need::Any { max_lag_ms: None }.into(), now).unwrap();
            roster.sent(index, Need::Update);
            open.push_back((index, now));
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

#[test]
fn a_full_csp_is_passed_over() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    let most = Policy::for_tests().csp_open_max;
    let a = roster.find("a").unwrap();
    (0..most).for_each(|_| roster.sent(a, Need::Update));
    for _ in 0..2 * most {
        let index = choose(&roster, Need::Update.into(), 0).unwrap();
        assert_ne!(index, a);
        roster.sent(index, Need::Update);
    }
    assert_eq!(choose(&roster, Need::Update.into(), 0), Err(NoRoute::AllFull));
    roster.member_mut(a).unwrap().left(Need::Update);
    assert_eq!(choose(&roster, Need::Update.into(), 0), Ok(a));
}

#[test]
fn whom_supervision_doubts_comes_behind_all_others() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    let (a, b) = (roster.find("a").unwrap(), roster.find("b").unwrap());
    for csp in [a, b] {
        roster.member_mut(csp).unwrap().is_doubted = true;
    }
    for _ in 0..20 {
        assert_eq!(chosen(&roster, Need::Strong), "c");
        roster.sent(roster.find("c").unwrap(), Need::Update);
    }
    roster.observe("c", &Report { state: CspState::Draining, ..report(5) }, 0);
    assert_ne!(chosen(&roster, Need::Strong), "c", "better a doubtful one than nobody");
}

#[test]
fn a_slow_csp_gets_less() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    for (name, query_us) in [("a", 500), ("b", 20_000), ("c", 500)] {
        roster.observe(name, &Report { query_us: Some(query_us), ..report(5) }, 0);
    }
    roster.tick(0);
    let mut count = [0; 3];
    for _ in 0..82 {
        let index = choose(&roster, Need::Any { max_lag_ms: None }.into(), 0).unwrap();
        roster.sent(index, Need::Update);
        count[index.0] += 1;
    }
    assert_eq!(count, [40, 2, 40], "a request weighs twenty times as much there");
}

#[test]
fn a_key_sticks_to_its_csp_until_that_is_gone() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    let home = |roster: &Roster, key| {
        let demand = Demand { affinity: Some(key), ..Need::Any { max_lag_ms: None }.into() };
        choose(roster, demand, 0).unwrap()
    };
    let homes: Vec<_> = (0..300).map(|key| home(&roster, key)).collect();
    for csp in 0..3 {
        let share = homes.iter().filter(|home| home.0 == csp).count();
        assert!((60..=140).contains(&share), "CSP {csp} has {share} of 300 keys");
    }
    (0..20).for_each(|_| roster.sent(homes[0], Need::Update));
    assert_eq!(home(&roster, 0), homes[0], "whatever its load");
    let b = roster.find("b").unwrap();
    roster.observe("b", &Report { state: CspState::Draining, ..report(5) }, 0);
    for (key, before) in (0..).zip(&homes) {
        let now = home(&roster, key);
        assert!(if *before == b { now != b } else { now == *before }, "only the keys of b move");
    }
    roster.observe("b", &report(5), 0);
    assert_eq!((0..300).map(|key| home(&roster, key)).collect::<Vec<_>>(), homes);
}

#[test]
fn a_new_definition_keeps_what_is_known() {
    let mut roster = reported(Replication::Primary, [5, 5, 5]);
    roster.redefine(Replication::Primary, &["b", "c", "d"].map(str::to_owned));
    assert_eq!(choose(&roster, Need::Update.into(), 0), Err(NoRoute::PrimaryUnknown), "a left the group");
    for _ in 0..6 {
        let name = chosen(&roster, Need::Any { max_lag_ms: None });
        assert!(name == "b" || name == "c", "{name}");
        roster.sent(roster.find(name).unwrap(), Need::Update);
    }
    roster.observe("d", &Report { epoch: 2, primary: Some("d".to_owned()), ..report(6) }, 0);
    assert_eq!(chosen(&roster, Need::Update), "d");
}

fn pool(csps: &[&str], overflow: bool) -> PoolDefinition {
    PoolDefinition { name: "p".to_owned(), csps: csps.iter().map(|csp| (*csp).to_owned()).collect(), overflow }
}

#[test]
fn a_pool_gets_its_queries_by_the_same_rules() {
    let mut roster = reported(Replication::Peer, [5, 5, 5]);
    roster.redefine_pools(&[pool(&["b", "c"], false)]);
    let demand = Demand { pool: roster.pools().find("p"), ..Need::Any { max_lag_ms: None }.into() };
    let mut names = Vec::new();
    for _ in 0..4 {
        let index = choose(&roster, demand, 0).unwrap();
        roster.sent(index, demand.need);
        names.push(roster.name(index).to_owned());
    }
    assert_eq!(names, ["b", "c", "b", "c"], "equals take turns");
    roster.observe("b", &report(20), 600);
    roster.observe("c", &report(5), 600);
    let choose_at = |need| {
        let demand = Demand { need, ..demand };
        choose(&roster, demand, 600).map(|index| roster.name(index))
    };
    assert_eq!(choose_at(Need::Any { max_lag_ms: Some(10) }), Ok("b"));
    assert_eq!(choose_at(Need::Session { after: 20 }), Ok("b"));
    let keyed = |key| choose(&roster, Demand { affinity: Some(key), ..demand }, 600).unwrap();
    assert!((0..50).all(|key| roster.name(keyed(key)) != "a" && keyed(key) == keyed(key)));
}

#[test]
fn a_pool_overflows_only_while_nobody_of_it_serves() {
    let mut roster = reported(Replication::Primary, [5, 5, 5]);
    let demand = |roster: &Roster| Demand { pool: roster.pools().find("p"), ..Need::Strong.into() };
    let chosen = |roster: &Roster| choose(roster, demand(roster), 0).map(|index| roster.name(index).to_owned());
    roster.redefine_pools(&[pool(&["c"], true)]);
    (0..100).for_each(|_| roster.sent(CspIndex(2), Need::Strong));
    assert_eq!(chosen(&roster), Ok("c".to_owned()), "busy is not gone");
    let avoiding = Demand { avoided: Some(CspIndex(2)), ..demand(&roster) };
    assert!(
        matches!(choose(&roster, avoiding, 0), Err(NoRoute::PoolUnavailable(_))),
        "avoided for a moment is not gone"
    );
    roster.observe("c", &Report { state: CspState::Draining, ..report(5) }, 0);
    assert_eq!(chosen(&roster), Ok("a".to_owned()));
    roster.redefine_pools(&[pool(&["c"], false)]);
    assert!(matches!(choose(&roster, demand(&roster), 0), Err(NoRoute::PoolUnavailable(_))));
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
            let report = Report { state, applied, log_end, epoch, primary, outstanding, ..report(applied) };
            (csp, report, wait_ms)
        },
    )
}

fn need() -> impl Strategy<Value = Need> {
    prop_oneof![
        Just(Need::Update),
        Just(Need::Turn),
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
        roster.sent(CspIndex(*csp), Need::Update);
    }
    (roster, now + case.wait_ms)
}

fn serves(roster: &Roster, need: Need, csp: CspIndex, now: u64) -> bool {
    let is_only_choice = need.is_update() && roster.replication() == Replication::Primary;
    match need {
        _ if is_only_choice => roster.carries_out(csp, now),
        Need::Update | Need::Turn => roster.available(csp, now),
        Need::Any { .. } | Need::Session { .. } | Need::Strong => answers(roster, csp, now),
    }
}

fn answers(roster: &Roster, csp: CspIndex, now: u64) -> bool {
    let is_nobody_available = !(0..3).any(|other| roster.available(CspIndex(other), now));
    roster.available(csp, now) || is_nobody_available && roster.carries_out(csp, now)
}

/// Whether that CSP may get the request, said as plainly as the rules can be said.
fn allowed(roster: &Roster, need: Need, csp: CspIndex) -> bool {
    let member = roster.member(csp).unwrap();
    match need {
        Need::Update | Need::Turn => roster.replication() == Replication::Peer || roster.primary() == Some(csp),
        Need::Any { max_lag_ms: None } | Need::Session { .. } | Need::Strong => true,
        Need::Any { max_lag_ms: Some(bound) } => member.lag_ms().is_some_and(|lag| lag <= bound),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// What is chosen serves and is allowed; nobody is chosen only if nobody is.
    #[test]
    fn chooses_an_allowed_csp_or_there_is_none(case in case()) {
        let (roster, now) = play(&case);
        let possible: Vec<_> = (0..3)
            .map(CspIndex)
            .filter(|csp| serves(&roster, case.need, *csp, now) && allowed(&roster, case.need, *csp))
            .collect();
        match choose(&roster, case.need.into(), now) {
            Ok(csp) => prop_assert!(possible.contains(&csp)),
            Err(why) => prop_assert!(possible.is_empty(), "{why:?} although {possible:?}"),
        }
    }

    /// Beyond its pool a query goes only if the pool overflows and nobody of it serves; and it goes wherever it may.
    #[test]
    fn a_query_stays_in_its_pool(
        case in case(),
        members in prop::sample::subsequence(vec!["a", "b", "c"], 0..=3),
        overflow: bool,
        avoided in prop::option::of((0usize..3).prop_map(CspIndex)),
        affinity: Option<u64>,
    ) {
        let need = if case.need.is_update() { Need::Strong } else { case.need };
        let (mut roster, now) = play(&case);
        roster.redefine_pools(&[pool(&members, overflow)]);
        let is_member = |csp: &CspIndex| members.contains(&roster.name(*csp));
        let somebody_serves = (0..3).map(CspIndex).any(|csp| is_member(&csp) && answers(&roster, csp, now));
        let may_go = |csp: &CspIndex| is_member(csp) || overflow && !somebody_serves;
        let possible: Vec<_> = (0..3)
            .map(CspIndex)
            .filter(|csp| answers(&roster, *csp, now) && allowed(&roster, need, *csp))
            .filter(|csp| may_go(csp) && avoided != Some(*csp))
            .collect();
        let demand = Demand { affinity, avoided, pool: roster.pools().find("p"), ..need.into() };
        match choose(&roster, demand, now) {
            Ok(csp) => prop_assert!(possible.contains(&csp), "{csp:?} of {possible:?}"),
            Err(why) => prop_assert!(possible.is_empty(), "{why:?} although {possible:?}"),
        }
    }

    /// A session never gets a copy out of step while another one has its position.
    #[test]
    fn sessions_get_a_copy_that_is_there_or_nearly(case in case(), after in 0u64..80) {
        let (roster, now) = play(&case);
        let there = |csp: CspIndex| roster.member(csp).is_some_and(|member| member.applied() >= after);
        if let Ok(csp) = choose(&roster, Need::Session { after }.into(), now) {
            let somebody_is = (0..3).map(CspIndex).any(|other| answers(&roster, other, now) && there(other));
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
            let index = choose(&roster, Need::Any { max_lag_ms: None }.into(), 0).unwrap();
            roster.sent(index, Need::Update);
        }
        let loads: Vec<_> = (0..3).map(|csp| roster.member(CspIndex(csp)).unwrap().load()).collect();
        let least = loads.iter().copied().fold(f64::MAX, f64::min);
        let most = loads.iter().copied().fold(0.0, f64::max);
        prop_assert!(most - least <= 1.0, "{loads:?}");
    }
}

#[test]
fn what_was_doubted_before_we_listened_is_doubted() {
    let mut roster = roster(Replication::Peer);
    roster.recall_doubt("a", "i");
    roster.recall_doubt("b", "an earlier one");
    roster.observe("a", &report(5), 0);
    roster.observe("b", &report(5), 0);
    let is_doubted = |roster: &Roster, csp: &str| roster.member(roster.find(csp).unwrap()).unwrap().is_doubted();
    assert!(is_doubted(&roster, "a") && !is_doubted(&roster, "b"));
    roster.recall_doubt("b", "i");
    assert!(is_doubted(&roster, "b"), "also if it was heard before");
}
