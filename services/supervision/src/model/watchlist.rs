//! All decisions together: every CSP of every defined group, the nodes that they are on, and the other supervisors.
//!
//! Definitions say who is watched, and how patiently. A CSP that leaves the definitions is forgotten; one that stays keeps what is
//! known of it. What is ours alone follows the least patient group: how often we measure, and how soon we count as blind.

use super::council::{Charge, Charges, Council, Verdict};
use super::decision::{CspKey, Decision, Effect, NodeDecision};
use super::detector::{Question, StatusOutcome};
use super::health::Health;
use super::nodes::{self, Nodes, Outcome, Resident};
use super::patience::Patience;
use super::sight::Sight;
use super::watched::{Shown, Watched};
use holdfast_schemas::message::{Accusation, CspState, Heartbeat, Opinion, SupervisionPolicy};
use std::collections::{BTreeMap, BTreeSet};

/// How patient the parts are that are no group's.
#[derive(Debug, Clone, Copy)]
pub struct Policies {
    /// About nodes.
    pub nodes: nodes::Policy,
    /// About other supervisors.
    pub presence_lost_ms: u64,
    /// How many supervisors there are, ourselves included.
    pub supervisors: usize,
}

/// What is known of one group as a whole.
#[derive(Debug)]
struct Group {
    patience: Patience,
    health: Health,
}

impl Group {
    fn new(patience: Patience) -> Self {
        Self { patience, health: Health::new(patience.health) }
    }

    fn adopt(&mut self, patience: Patience) {
        self.patience = patience;
        self.health.adopt(patience.health);
    }
}

/// All that is watched.
#[derive(Debug)]
pub struct Watchlist {
    sight: Sight,
    council: Council,
    nodes: Nodes,
    groups: BTreeMap<String, Group>,
    csps: BTreeMap<CspKey, Watched>,
    /// When the CSPs of a node were last asked because one of them was gone.
    neighbours_asked_ms: BTreeMap<String, u64>,
}

impl Watchlist {
    /// Watches nobody yet, under the name `instance`.
    pub fn new(policies: Policies, instance: String, now_ms: u64) -> Self {
        let blind_after_ms = Patience::new(&SupervisionPolicy::default()).blind_after_ms();
        Self {
            sight: Sight::new(blind_after_ms, now_ms),
            council: Council::new(instance, policies.supervisors, policies.presence_lost_ms, now_ms),
            nodes: Nodes::new(policies.nodes),
            groups: BTreeMap::new(),
            csps: BTreeMap::new(),
            neighbours_asked_ms: BTreeMap::new(),
        }
    }

    /// A group has these CSPs, none if it is gone, and this policy.
    pub fn define(&mut self, group: &str, csps: &[String], policy: &SupervisionPolicy, now_ms: u64) {
        let council = &mut self.council;
        self.csps.retain(|key, _| {
            let stays = key.group != group || csps.contains(&key.csp);
            if !stays {
                council.charge(key, None);
            }
            stays
        });
        if csps.is_empty() {
            self.groups.remove(group);
        } else {
            let patience = Patience::new(policy);
            let known = self.groups.entry(group.to_owned()).or_insert_with(|| Group::new(patience));
            known.adopt(patience);
            known.health.retain(csps);
            for csp in csps {
                let key = CspKey { group: group.to_owned(), csp: csp.clone() };
                let watched = self.csps.entry(key).or_insert_with(|| Watched::new(&patience, now_ms));
                watched.adopt(&patience, now_ms);
            }
        }
        if let Some(blind_after_ms) = self.least(Patience::blind_after_ms) {
            self.sight.set_blind_after(blind_after_ms);
        }
    }

    /// How often silence must be measured at least; none where nobody is watched.
    pub fn tick_ms_max(&self) -> Option<u64> {
        self.least(Patience::tick_ms_max)
    }

    fn least(&self, time_ms: impl Fn(&Patience) -> u64) -> Option<u64> {
        self.groups.values().map(|group| time_ms(&group.patience)).min()
    }

    /// A heartbeat came; of a CSP that nobody defined it means nothing. One of a CSP that hears nothing is none: what it is asked is
    /// not answered, and so it is judged like one that is cut off in both directions.
    pub fn heartbeat(&mut self, beat: &Heartbeat, now_ms: u64) -> Vec<Effect> {
        let key = CspKey { group: beat.group.clone(), csp: beat.csp.clone() };
        if !self.csps.contains_key(&key) || !beat.is_sign_of_life() {
            return Vec::new();
        }
        let takes_requests = beat.state == CspState::Available;
        let group = self.groups.get_mut(&beat.group).filter(|_| takes_requests);
        let complaint = group.and_then(|group| group.health.examine(beat, now_ms)).map(str::to_owned);
        self.update(&key, now_ms, |watched| {
            watched.complaint = complaint;
            if watched.node.as_ref() != Some(&beat.node) {
                watched.node = Some(beat.node.clone());
            }
            watched.detector.heartbeat(beat.state, &beat.incarnation, now_ms);
            None
        })
    }

    /// A status request ended.
    pub fn status(&mut self, key: &CspKey, question: u64, outcome: StatusOutcome, now_ms: u64) -> Vec<Effect> {
        self.update(key, now_ms, |watched| watched.detector.status(question, outcome, now_ms))
    }

    /// Somebody found nobody behind a CSP's name.
    pub fn hint(&mut self, key: &CspKey, evidence: &str, now_ms: u64) -> Vec<Effect> {
        self.update(key, now_ms, |watched| watched.detector.hint(evidence, now_ms))
    }

    /// A supervisor spoke, perhaps we ourselves. What another one holds for gone and we do not is a hint to us.
    pub fn opinion(&mut self, opinion: Opinion, now_ms: u64) -> Vec<Effect> {
        if opinion.instance == self.council.instance() {
            self.sight.echo(now_ms);
            return Vec::new();
        }
        let accusations = opinion.unavailable.into_iter().map(|accusation| {
            let Accusation { group, csp, incarnation, evidence, deserted } = accusation;
            (CspKey { group, csp }, Charge { incarnation, evidence, deserted })
        });
        let charges: Charges = accusations.filter(|(key, _)| self.csps.contains_key(key)).collect();
        // What it said before, and we hold for true ourselves, is nothing to look into again: with a hundred CSPs of a node that is
        // gone, each word would be work for all of them.
        let known = |key: &CspKey, charge: &Charge| {
            self.council.said(&opinion.instance, key) == Some(charge) && self.council.own().contains_key(key)
        };
        let news: Charges = charges.iter().filter(|(key, charge)| !known(key, charge)).map(clone).collect();
        self.council.hear(&opinion.instance, charges, now_ms);
        self.update_all(news.keys().cloned().collect(), now_ms, |key, watched| {
            let charge = news.get(key).filter(|charge| charge.concerns(watched.detector.incarnation()))?;
            watched.detector.hint(&charge.evidence, now_ms)
        })
    }

    /// How many supervisors are heard, if that is more than are defined.
    pub fn too_many_supervisors(&self, now_ms: u64) -> Option<usize> {
        self.council.too_many(now_ms)
    }

    /// How many supervisors are heard, if those are too few to hold any CSP for gone.
    pub fn too_few_supervisors(&self, now_ms: u64) -> Option<usize> {
        self.council.too_few(now_ms)
    }

    /// The agent of a node spoke.
    pub fn node_alive(&mut self, node: &str, now_ms: u64) -> Vec<Effect> {
        self.nodes.alive(node, now_ms);
        self.settle(node, now_ms)
    }

    /// Time passes for everybody; `connection` is the number of the connection that we have.
    pub fn tick(&mut self, connection: Option<u64>, now_ms: u64) -> Vec<Effect> {
        if !self.sight.tick(connection, now_ms) {
            return self.blind(now_ms);
        }
        self.council.forget_lost(now_ms);
        let pause_ms = self.neighbours_pause_ms();
        self.neighbours_asked_ms.retain(|_, asked_ms| now_ms.saturating_sub(*asked_ms) < pause_ms);
        let mut due = self.council.accused();
        let silent = self.csps.iter().filter(|(_, watched)| watched.detector.is_late(now_ms));
        due.extend(silent.map(|(key, _)| key.clone()));
        let mut effects = self.update_all(due, now_ms, |_, watched| watched.detector.tick(now_ms));
        for node in self.nodes.open() {
            effects.extend(self.settle(&node, now_ms));
        }
        effects
    }

    /// Says again what those report who report. What somebody else wrote by mistake, and did not live to correct, is put right
    /// by this.
    pub fn reassert(&mut self, now_ms: u64) -> Vec<Effect> {
        let again = self.csps.iter_mut().filter_map(|(key, watched)| {
            let shown = watched.again(now_ms)?;
            Some(Effect::Record(decision(key, watched, shown, None)))
        });
        again.collect()
    }

    /// What we say to the other supervisors.
    pub fn own_opinion(&self) -> Opinion {
        let accusations = self.council.own().iter().map(|(key, charge)| Accusation {
            group: key.group.clone(),
            csp: key.csp.clone(),
            incarnation: charge.incarnation.clone(),
            evidence: charge.evidence.clone(),
            deserted: charge.deserted,
        });
        Opinion { instance: self.council.instance().to_owned(), unavailable: accusations.collect() }
    }

    fn blind(&mut self, now_ms: u64) -> Vec<Effect> {
        self.council.blind(now_ms);
        self.nodes.blind(now_ms);
        self.groups.values_mut().for_each(|group| group.health.blind());
        let all = self.csps.keys().cloned().collect();
        self.update_all(all, now_ms, |_, watched| {
            watched.detector.blind(now_ms);
            None
        })
    }

    /// Lets something happen to each of these CSPs, and then looks at their nodes, each once.
    fn update_all(
        &mut self,
        keys: BTreeSet<CspKey>,
        now_ms: u64,
        change: impl Fn(&CspKey, &mut Watched) -> Question,
    ) -> Vec<Effect> {
        let mut nodes = BTreeSet::new();
        let mut effects = Vec::new();
        for key in &keys {
            effects.extend(self.update_one(key, now_ms, |watched| change(key, watched)));
            nodes.extend(self.csps.get(key).and_then(|watched| watched.node.clone()));
        }
        effects.extend(nodes.iter().flat_map(|node| self.settle(node, now_ms)));
        effects
    }

    /// Lets something happen to a CSP, and says what follows from it.
    fn update(&mut self, key: &CspKey, now_ms: u64, change: impl FnOnce(&mut Watched) -> Question) -> Vec<Effect> {
        let mut effects = self.update_one(key, now_ms, change);
        if let Some(node) = self.csps.get(key).and_then(|watched| watched.node.clone()) {
            effects.extend(self.settle(&node, now_ms));
        }
        effects
    }

    /// The same, but for what turns out about its node.
    fn update_one(&mut self, key: &CspKey, now_ms: u64, change: impl FnOnce(&mut Watched) -> Question) -> Vec<Effect> {
        let Some(watched) = self.csps.get_mut(key) else { return Vec::new() };
        let question = change(watched);
        let timeout_ms = watched.status_timeout_ms;
        let asked = question.map(|question| Effect::Ask { key: key.clone(), question, timeout_ms });
        let mut effects: Vec<_> = asked.into_iter().collect();
        let charge = watched.charge();
        let accusing = charge.is_some();
        let spoken = self.council.charge(key, charge);
        let verdict = self.council.verdict(key, watched.detector.incarnation(), now_ms);
        if let Some(verdict) = &verdict {
            watched.detector.agreed();
            watched.deserted = verdict.deserted;
        }
        let node = watched.node.clone();
        if spoken {
            effects.push(Effect::Speak);
        }
        effects.extend(self.tell(key, verdict, now_ms));
        let Some(node) = node else { return effects };
        if spoken && accusing {
            effects.extend(self.ask_neighbours(key, &node, now_ms));
        }
        effects
    }

    /// Writes down what is new of a CSP.
    fn tell(&mut self, key: &CspKey, verdict: Option<Verdict>, now_ms: u64) -> Vec<Effect> {
        let Some(watched) = self.csps.get_mut(key) else { return Vec::new() };
        let Some(shown) = watched.news(now_ms) else { return Vec::new() };
        let (condemned, returned) = (shown.state == CspState::Unavailable, shown.before == Some(CspState::Unavailable));
        if condemned {
            watched.damping.condemned(now_ms);
        }
        let mut decision = decision(key, watched, shown, verdict);
        let node = watched.node.clone().unwrap_or_default();
        // Before it is told that a CSP is back, it is told that it was gone.
        let mut effects = if returned { self.settle(&node, now_ms) } else { Vec::new() };
        if condemned && !node.is_empty() {
            let residents = self.residents(&node);
            decision.held = self.nodes.condemned(&node, key, &residents, now_ms);
        }
        effects.push(Effect::Record(decision));
        effects
    }

    /// When one is gone, its node may be: the others on it are asked at once, but not again for each of them that does not answer.
    fn ask_neighbours(&mut self, key: &CspKey, node: &str, now_ms: u64) -> Vec<Effect> {
        let pause_ms = self.neighbours_pause_ms();
        let asked_ms = self.neighbours_asked_ms.get(node);
        if asked_ms.is_some_and(|asked_ms| now_ms.saturating_sub(*asked_ms) < pause_ms) {
            return Vec::new();
        }
        self.neighbours_asked_ms.insert(node.to_owned(), now_ms);
        let residents = self.residents(node).into_iter().map(|resident| resident.key);
        let neighbours = residents.filter(|resident| resident != key).collect();
        let evidence = format!("{} on the same node is gone", key.csp);
        self.update_all(neighbours, now_ms, |_, watched| watched.detector.hint(&evidence, now_ms))
    }

    /// For how long the CSPs of a node are not asked again because of one of them.
    fn neighbours_pause_ms(&self) -> u64 {
        self.least(|patience| patience.detector.hint_pause_ms).unwrap_or_default()
    }

    /// Tells what has turned out about a node.
    fn settle(&mut self, node: &str, now_ms: u64) -> Vec<Effect> {
        if !self.nodes.is_open(node) {
            return Vec::new();
        }
        let residents = self.residents(node);
        let told = |available: bool, csps: Vec<CspKey>, cause: &str| {
            let is_deserted = |key: &&CspKey| !available && self.csps.get(*key).is_some_and(|watched| watched.deserted);
            let deserted = csps.iter().filter(is_deserted).cloned().collect();
            let mut groups = BTreeMap::<_, Vec<_>>::new();
            csps.into_iter().for_each(|key| groups.entry(key.group).or_default().push(key.csp));
            let (node, cause) = (node.to_owned(), cause.to_owned());
            Effect::Node(NodeDecision { node, available, groups, deserted, cause })
        };
        let effect = match self.nodes.settle(node, &residents, now_ms) {
            Some(Outcome::Csps(keys)) => Some(Effect::Release(keys)),
            Some(Outcome::Gone(csps)) => Some(told(false, csps, "all that is on it went silent together")),
            // Nobody is first to write that a node is back, so one is chosen to tell it.
            Some(Outcome::Back { csps, cause }) => self.council.is_eldest(now_ms).then(|| told(true, csps, cause)),
            None => None,
        };
        effect.into_iter().collect()
    }

    fn residents(&self, node: &str) -> Vec<Resident> {
        let there = self.csps.iter().filter(|(_, watched)| watched.node.as_deref() == Some(node));
        there.map(|(key, watched)| watched.resident(key)).collect()
    }
}

fn clone<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

fn decision(key: &CspKey, watched: &Watched, shown: Shown, verdict: Option<Verdict>) -> Decision {
    let own = watched.detector.evidence().to_vec();
    let (heard, concurring, deserted) = match verdict.filter(|_| shown.state == CspState::Unavailable) {
        Some(verdict) => (verdict.evidence, verdict.concurring, verdict.deserted),
        None => Default::default(),
    };
    Decision {
        key: key.clone(),
        state: shown.state,
        cause: shown.cause,
        doubt: shown.doubt,
        deserted,
        incarnation: watched.detector.incarnation().map(str::to_owned),
        evidence: if own.is_empty() { heard } else { own },
        concurring,
        basis: shown.basis,
        held: false,
    }
}

#[cfg(test)]
#[path = "watchlist_tests.rs"]
mod tests;
