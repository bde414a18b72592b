//! All decisions together: a group of supervisors in one process, with the words between them carried by hand.

use super::*;
use proptest::prelude::*;

const MS: u64 = 10;

fn policies(supervisors: usize) -> Policies {
    crate::config::SupervisionConfig { supervisors, ..Default::default() }.policies()
}

fn key(csp: &str) -> CspKey {
    CspKey { group: "g".to_owned(), csp: csp.to_owned() }
}

fn beat(csp: &str, incarnation: &str) -> Heartbeat {
    Heartbeat {
        group: "g".to_owned(),
        csp: csp.to_owned(),
        node: format!("node-of-{csp}"),
        incarnation: incarnation.to_owned(),
        state: CspState::Available,
        applied: 1,
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

/// How a CSP fares when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lives,
    Dead,
    Hangs,
    /// It is heard, and hears nothing.
    HearsNothing,
}

/// Supervisors that hear the same CSPs and one another, 10 ms at a time.
struct World {
    now_ms: u64,
    supervisors: Vec<Watchlist>,
    csps: BTreeMap<String, (Fate, String, Heartbeat)>,
    questions: Vec<(usize, CspKey, u64, u64)>,
    asked: Vec<CspKey>,
    decisions: Vec<(usize, Decision)>,
    other: Vec<(usize, Effect)>,
}

impl World {
    fn new(supervisors: usize, csps: &[&str]) -> Self {
        let names: Vec<_> = csps.iter().map(|csp| (*csp).to_owned()).collect();
        let mut list: Vec<_> =
            (0..supervisors).map(|number| Watchlist::new(policies(supervisors), format!("s{number}"), 0)).collect();
        list.iter_mut().for_each(|supervisor| supervisor.define("g", &names, &SupervisionPolicy::default(), 0));
        let csps = names.iter().map(|csp| (csp.clone(), (Fate::Lives, "1".to_owned(), beat(csp, "1"))));
        Self {
            now_ms: 0,
            supervisors: list,
            csps: csps.collect(),
            questions: Vec::new(),
            asked: Vec::new(),
            decisions: Vec::new(),
            other: Vec::new(),
        }
    }

    /// Lets time pass; everybody speaks every 100 ms.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / MS {
            self.now_ms += MS;
            let now = self.now_ms;
            if now.is_multiple_of(100) {
                let beats = self.csps.values().filter(|(fate, _, _)| matches!(fate, Fate::Lives | Fate::HearsNothing));
                let said = |(fate, _, beat): &(Fate, String, Heartbeat)| Heartbeat {
                    unheard_ms: (*fate == Fate::HearsNothing).then_some(300),
                    ..beat.clone()
                };
                let beats: Vec<_> = beats.map(said).collect();
                for number in 0..self.supervisors.len() {
                    for beat in &beats {
                        let effects = self.supervisors[number].heartbeat(beat, now);
                        self.perform(number, effects);
                    }
                    self.speak(number);
                }
            }
            for number in 0..self.supervisors.len() {
                let effects = self.supervisors[number].tick(Some(1), now);
                self.perform(number, effects);
            }
            self.answer();
        }
    }

    fn speak(&mut self, number: usize) {
        let opinion = self.supervisors[number].own_opinion();
        self.spread(opinion);
    }

    fn spread(&mut self, opinion: Opinion) {
        for number in 0..self.supervisors.len() {
            let effects = self.supervisors[number].opinion(opinion.clone(), self.now_ms);
            self.perform(number, effects);
        }
    }

    fn perform(&mut self, number: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Ask { key, question, .. } => {
                    self.asked.push(key.clone());
                    self.questions.push((number, key, question, self.now_ms));
                }
                Effect::Speak => self.speak(number),
                Effect::Record(decision) => self.decisions.push((number, decision)),
                other => self.other.push((number, other)),
            }
        }
    }

    fn answer(&mut self) {
        while let Some(index) = self
            .questions
            .iter()
            .position(|(_, key, _, asked)| self.is_answered(&key.csp) || self.now_ms - asked >= 200)
        {
            let (number, key, question, _) = self.questions.swap_remove(index);
            let outcome = match self.csps[&key.csp].0 {
                Fate::Lives => StatusOutcome::Answered,
                Fate::Dead => StatusOutcome::NoResponders,
                Fate::Hangs | Fate::HearsNothing => StatusOutcome::Unanswered,
            };
            let effects = self.supervisors[number].status(&key, question, outcome, self.now_ms);
            self.perform(number, effects);
        }
    }

    fn is_answered(&self, csp: &str) -> bool {
        matches!(self.csps[csp].0, Fate::Lives | Fate::Dead)
    }

    fn fate(&mut self, csp: &str, fate: Fate) {
        self.csps.get_mut(csp).unwrap().0 = fate;
    }

    fn change(&mut self, csp: &str, change: impl FnOnce(&mut Heartbeat)) {
        change(&mut self.csps.get_mut(csp).unwrap().2);
    }

    /// What each supervisor decided of `csp` since this was asked last: state and cause.
    fn decided(&mut self, csp: &str) -> Vec<(CspState, String)> {
        let (about, rest) =
            std::mem::take(&mut self.decisions).into_iter().partition(|(_, decision)| decision.key.csp == csp);
        self.decisions = rest;
        let about: Vec<(usize, Decision)> = about;
        about.into_iter().map(|(_, decision)| (decision.state, decision.cause)).collect()
    }
}

#[test]
fn a_killed_csp_is_condemned_by_all_within_130_ms_of_its_last_heartbeat() {
    let mut world = World::new(3, &["a", "b"]);
    world.pass(1_000);
    world.decisions.clear();
    world.fate("a", Fate::Dead);
    world.pass(130);
    let verdicts = std::mem::take(&mut world.decisions);
    assert_eq!(verdicts.len(), 3);
    for (_, verdict) in &verdicts {
        assert_eq!(verdict.state, CspState::Unavailable);
        assert_eq!(verdict.incarnation.as_deref(), Some("1"));
        assert!(verdict.concurring.len() >= 2, "{verdict:?}");
        assert!(!verdict.evidence.is_empty());
        assert!(verdict.deserted, "also by the word of the others: {verdict:?}");
    }
    let asked_themselves = verdicts.iter().filter(|(_, verdict)| verdict.cause == "no responders");
    assert_eq!(asked_themselves.count(), 2, "the third hears of a majority before it has its own answer");
}

#[test]
fn a_hanging_csp_is_condemned_within_a_second() {
    for fate in [Fate::Hangs, Fate::HearsNothing] {
        let mut world = World::new(3, &["a", "b"]);
        world.pass(1_000);
        world.decisions.clear();
        world.fate("a", fate);
        world.pass(1_000);
        assert!(world.decisions.iter().all(|(_, decision)| !decision.deserted), "it may be heard again");
        let decided = world.decided("a");
        assert_eq!(decided.iter().filter(|(state, _)| *state == CspState::Suspect).count(), 3, "{fate:?}");
        assert_eq!(decided.iter().filter(|(state, _)| *state == CspState::Unavailable).count(), 3, "{fate:?}");
    }
}

#[test]
fn one_that_hears_again_is_back() {
    let mut world = World::new(3, &["a", "b"]);
    world.pass(1_000);
    world.fate("a", Fate::HearsNothing);
    world.pass(1_000);
    world.decisions.clear();
    world.fate("a", Fate::Lives);
    world.pass(1_000);
    assert!(world.decided("a").iter().any(|(state, _)| *state == CspState::Available));
}

#[test]
fn a_liar_is_asked_about_and_not_believed() {
    let mut world = World::new(2, &["a"]);
    world.pass(1_000);
    world.decisions.clear();
    for _ in 0..20 {
        let lie = Accusation {
            group: "g".to_owned(),
            csp: "a".to_owned(),
            incarnation: None,
            evidence: "a lie".to_owned(),
            deserted: true,
        };
        world.spread(Opinion { instance: "liar".to_owned(), unavailable: vec![lie] });
        world.pass(100);
    }
    assert_eq!(world.decided("a"), []);
}

#[test]
fn a_lone_supervisor_of_three_judges_nobody_and_two_do() {
    for (left, judge) in [(1, false), (2, true)] {
        let mut world = World::new(3, &["a"]);
        world.pass(1_000);
        world.supervisors.truncate(left);
        world.fate("a", Fate::Dead);
        world.decisions.clear();
        world.pass(5_000);
        let decided = world.decided("a");
        assert_eq!(decided.iter().any(|(state, _)| *state == CspState::Unavailable), judge, "{left}: {decided:?}");
        assert!(judge || decided.last().is_some_and(|(state, _)| *state == CspState::Suspect), "{decided:?}");
    }
}

#[test]
fn one_that_is_cut_off_without_noticing_judges_nobody() {
    let mut world = World::new(3, &["a", "b"]);
    world.pass(1_000);
    let mut cut_off = world.supervisors.remove(0);
    let mut questions = Vec::new();
    for now in (1_010..20_000).step_by(10) {
        let mut effects = cut_off.tick(Some(1), now);
        let overdue: Vec<_> = questions.extract_if(.., |(_, _, asked)| now - *asked >= 200).collect();
        for (key, question, _) in overdue {
            effects.extend(cut_off.status(&key, question, StatusOutcome::Unanswered, now));
        }
        for effect in effects {
            match effect {
                Effect::Ask { key, question, .. } => questions.push((key, question, now)),
                other => panic!("{other:?} at {now}"),
            }
        }
    }
}

#[test]
fn a_new_process_is_welcomed_while_others_still_accuse_the_old_one() {
    let mut world = World::new(1, &["a"]);
    world.pass(1_000);
    world.decisions.clear();
    for _ in 0..10 {
        for liar in ["x", "y"] {
            let old = Some("1".to_owned());
            let accusation = Accusation {
                group: "g".to_owned(),
                csp: "a".to_owned(),
                incarnation: old,
                evidence: "gone".to_owned(),
                deserted: true,
            };
            world.spread(Opinion { instance: liar.to_owned(), unavailable: vec![accusation] });
        }
        world.pass(100);
    }
    assert_eq!(world.decided("a").iter().map(|(state, _)| *state).collect::<Vec<_>>(), [CspState::Unavailable]);
    world.change("a", |beat| beat.incarnation = "2".to_owned());
    world.pass(100);
    assert_eq!(world.decided("a").first().map(|(state, _)| *state), Some(CspState::Available));
}

#[test]
fn a_gray_csp_is_suspect_with_the_reason_and_back_when_it_is_well() {
    let mut world = World::new(1, &["a", "b"]);
    world.pass(1_000);
    world.decisions.clear();
    world.change("a", |beat| beat.storage_error = Some("disk full".to_owned()));
    world.pass(500);
    assert_eq!(
        world.decided("a"),
        [(CspState::Suspect, "gray: its copy cannot be read or written: disk full".to_owned())]
    );
    world.change("a", |beat| beat.storage_error = None);
    world.pass(2_800);
    assert_eq!(world.decided("a"), []);
    world.pass(400);
    assert_eq!(world.decided("a"), [(CspState::Available, "well again".to_owned())]);
}

#[test]
fn one_that_goes_and_comes_is_held() {
    let mut world = World::new(1, &["a"]);
    world.pass(1_000);
    for _ in 0..3 {
        world.decisions.clear();
        world.fate("a", Fate::Dead);
        world.pass(500);
        world.fate("a", Fate::Lives);
        world.pass(500);
    }
    let decided = world.decided("a");
    let flapping = (CspState::Suspect, "flapping: it became unavailable 3 times within 60 s".to_owned());
    assert_eq!(decided, [(CspState::Unavailable, "no responders".to_owned()), flapping]);
    world.pass(4_400);
    assert_eq!(world.decided("a"), []);
    world.pass(600);
    assert_eq!(world.decided("a"), [(CspState::Available, "well again".to_owned())]);
}

#[test]
fn a_node_that_vanishes_is_one_event() {
    let mut world = World::new(1, &["a", "b", "c"]);
    for csp in ["a", "b", "c"] {
        world.change(csp, |beat| beat.node = "n".to_owned());
    }
    world.pass(1_000);
    world.decisions.clear();
    for csp in ["a", "b", "c"] {
        world.fate(csp, Fate::Dead);
    }
    world.pass(200);
    assert_eq!(world.decisions.len(), 3);
    assert!(world.decisions.iter().all(|(_, decision)| decision.held && decision.state == CspState::Unavailable));
    let groups = BTreeMap::from([("g".to_owned(), vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])]);
    let cause = "all that is on it went silent together".to_owned();
    let deserted = ["a", "b", "c"].map(key).into();
    let gone = NodeDecision { node: "n".to_owned(), available: false, groups, deserted, cause };
    assert_eq!(world.other, [(0, Effect::Node(gone.clone()))]);
    world.other.clear();
    world.fate("b", Fate::Lives);
    world.pass(200);
    let cause = "a CSP of it reports again".to_owned();
    let back = NodeDecision { available: true, deserted: BTreeSet::new(), cause, ..gone };
    assert_eq!(world.other, [(0, Effect::Node(back))]);
}

#[test]
fn one_of_a_node_is_told_as_soon_as_a_neighbour_answers() {
    let mut world = World::new(1, &["a", "b"]);
    for csp in ["a", "b"] {
        world.change(csp, |beat| beat.node = "n".to_owned());
    }
    world.pass(1_000);
    world.fate("a", Fate::Dead);
    world.other.clear();
    world.pass(140);
    assert_eq!(world.other, [(0, Effect::Release(vec![key("a")]))]);
}

#[test]
fn a_node_whose_csps_were_asked_is_forgotten_after_a_while() {
    let mut world = World::new(1, &["a", "b"]);
    for csp in ["a", "b"] {
        world.change(csp, |beat| beat.node = "n".to_owned());
    }
    world.pass(1_000);
    world.fate("a", Fate::Dead);
    let mut was_noted = false;
    for _ in 0..1_000 / MS {
        world.pass(MS);
        was_noted |= world.supervisors[0].neighbours_asked_ms.contains_key("n");
    }
    assert!(was_noted);
    world.pass(10_000);
    assert!(world.supervisors[0].neighbours_asked_ms.is_empty());
}

#[test]
fn strangers_and_leavers_are_not_watched() {
    let (mut list, policy) = (Watchlist::new(policies(1), "s".to_owned(), 0), SupervisionPolicy::default());
    assert_eq!(list.heartbeat(&beat("a", "1"), 0), []);
    list.define("g", &["a".to_owned(), "b".to_owned()], &policy, 0);
    assert_eq!(list.heartbeat(&beat("a", "1"), 0).len(), 1);
    list.define("g", &["a".to_owned()], &policy, 1);
    assert_eq!(list.heartbeat(&beat("a", "1"), 2), [], "it keeps what is known");
    assert_eq!(list.heartbeat(&beat("b", "1"), 2), []);
    list.define("g", &[], &policy, 3);
    assert!(list.csps.is_empty() && list.groups.is_empty());
}

/// When a CSP of the group becomes suspect whose last heartbeat was at `from`; others are not looked at.
fn suspect_after(list: &mut Watchlist, group: &str, from: u64) -> u64 {
    (from..from + 60_000)
        .step_by(10)
        .find(|now| {
            list.opinion(list.own_opinion(), *now);
            let about = |effect: &Effect| match effect {
                Effect::Record(decision) => decision.key.group == group && decision.state == CspState::Suspect,
                _ => false,
            };
            list.tick(Some(1), *now).iter().any(about)
        })
        .unwrap()
        - from
}

#[test]
fn each_group_is_judged_by_its_own_policy_also_when_it_changes() {
    let of = |heartbeat_interval_ms| SupervisionPolicy { heartbeat_interval_ms, ..SupervisionPolicy::default() };
    let mut list = Watchlist::new(policies(1), "s".to_owned(), 0);
    let names = ["a".to_owned()];
    list.define("g", &names, &of(100), 0);
    list.define("patient", &names, &of(1_000), 0);
    assert_eq!(list.tick_ms_max(), Some(125 / 6));
    let both = |list: &mut Watchlist, now| {
        for group in ["g", "patient"] {
            list.heartbeat(&Heartbeat { group: group.to_owned(), ..beat("a", "1") }, now);
        }
    };
    both(&mut list, 10);
    assert_eq!(suspect_after(&mut list, "g", 10), 500);
    both(&mut list, 10_000);
    list.tick(Some(1), 10_000);
    assert_eq!(suspect_after(&mut list, "patient", 10_010), 4_990);
    both(&mut list, 30_000);
    list.tick(Some(1), 30_000);
    list.tick(Some(1), 30_200);
    list.define("g", &names, &of(200), 30_300);
    assert_eq!(suspect_after(&mut list, "g", 30_300), 1_000, "silence before the change does not count");
    list.define("g", &[], &of(100), 40_000);
    assert_eq!(list.tick_ms_max(), Some(1_250 / 6));
}

#[test]
fn only_those_who_report_are_said_again() {
    let mut world = World::new(1, &["a", "b"]);
    world.fate("b", Fate::Hangs);
    world.pass(1_000);
    let again = world.supervisors[0].reassert(1_000);
    let about: Vec<_> = again
        .into_iter()
        .map(|effect| match effect {
            Effect::Record(decision) => (decision.key.csp, decision.state, decision.basis),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(about, [("a".to_owned(), CspState::Available, super::super::decision::Basis::Repetition)]);
}

/// A node with a hundred CSPs goes at once: each is asked a few times, and told of once, and each supervisor says a few words.
#[test]
fn a_node_with_many_csps_costs_each_of_them_little() {
    const CSPS: usize = 100;
    let names: Vec<_> = (0..CSPS).map(|number| format!("csp-{number}")).collect();
    let mut world = World::new(3, &names.iter().map(String::as_str).collect::<Vec<_>>());
    world.pass(1_000);
    world.decisions.clear();
    names.iter().for_each(|csp| world.fate(csp, Fate::Dead));
    let mut asked = 0;
    for _ in 0..200 / MS {
        world.pass(MS);
        asked += world.asked.drain(..).count();
    }
    let condemned = world.decisions.iter().filter(|(_, decision)| decision.state == CspState::Unavailable);
    assert_eq!(condemned.count(), 3 * CSPS);
    assert!(asked <= 3 * 3 * CSPS, "{asked} questions about {CSPS} CSPs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whoever lives is never condemned, and whoever is dead long enough always is, by each of the supervisors; whatever one
    /// liar among three says in between.
    #[test]
    fn the_living_are_never_condemned_and_the_dead_always(
        steps in prop::collection::vec((0usize..3, 0u8..3, any::<bool>(), 10u64..400), 1..25),
    ) {
        let names = ["a", "b", "c"];
        let mut world = World::new(2, &names);
        world.pass(700);
        let mut incarnation = 1;
        for (who, fate, lie, ms) in steps {
            let fate = [Fate::Lives, Fate::Dead, Fate::Hangs][usize::from(fate)];
            if fate == Fate::Lives && world.csps[names[who]].0 == Fate::Dead {
                incarnation += 1;
                world.change(names[who], |beat| beat.incarnation = incarnation.to_string());
            }
            world.fate(names[who], fate);
            if lie {
                let accusations = names.map(|csp| Accusation {
                    group: "g".to_owned(), csp: csp.to_owned(), incarnation: None, evidence: "a lie".to_owned(),
                    deserted: false,
                });
                world.spread(Opinion { instance: "liar".to_owned(), unavailable: accusations.to_vec() });
            }
            world.pass(ms / MS * MS);
            for (_, decision) in &world.decisions {
                if decision.state == CspState::Unavailable {
                    prop_assert!(decision.concurring.len() >= 2, "{:?}", decision);
                }
            }
        }
        world.decisions.clear();
        world.pass(2_000);
        for supervisor in &mut world.supervisors {
            let now = world.now_ms;
            for csp in names {
                let condemned = supervisor.csps[&key(csp)].detector.state() == Some(CspState::Unavailable);
                prop_assert_eq!(condemned, world.csps[csp].0 != Fate::Lives, "{} at {}", csp, now);
            }
        }
    }
}
