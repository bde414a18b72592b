//! The routing table: every group that is defined, with its requests and what is known of its CSPs.
//!
//! The rules are in `model`; this adds the shared table, the names and the subjects, so that the loops of the service can
//! bring what they hear from many tasks at once. Locks are held for a look and never over an await. A look is a handful of
//! comparisons and one entry in a table, so one lock per group is cheaper than anything cleverer.

use crate::envelope::Envelope;
use crate::model::effect::{Cause, Effect, Ending};
use crate::model::member::{Member, Report};
use crate::model::policy::{Policy, Silence};
use crate::model::probe::ProbeOutcome;
use crate::model::request::Kind;
use crate::model::roster::{CspIndex, Roster};
use crate::model::route::NoRoute;
use crate::model::traffic::{Arrival, Traffic};
use async_nats::Subject;
use holdfast_schemas::message::{Completions, CspState, CspStateChange, GroupDefinition, Heartbeat, NodeStateChange};
use holdfast_schemas::{ErrorCode, subject};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;

/// What the rules want done, with the names that it takes to do it.
#[derive(Debug)]
pub enum Task {
    /// Send a request.
    Send(Parcel),
    /// Answer a client.
    Refuse {
        /// Its request.
        envelope: Arc<Envelope>,
        /// The stable code.
        code: ErrorCode,
        /// One sentence for people.
        message: String,
        /// When it is worth the while to send it again.
        retry_after_ms: Option<u64>,
    },
    /// Ask a CSP whether it is there, and tell [`Router::probed`].
    Probe(Question),
    /// Say that a CSP is gone.
    Vanished {
        /// Its group.
        group: String,
        /// Its name.
        csp: String,
        /// How that was noticed.
        cause: Cause,
        /// How many requests it leaves behind.
        requests: usize,
    },
}

/// A request with its address.
#[derive(Debug)]
pub struct Parcel {
    /// Where to.
    pub destination: Subject,
    /// The request.
    pub envelope: Arc<Envelope>,
    /// Under which number the CSP says that it is done; none if nobody waits for an answer.
    pub number: Option<u64>,
    /// How often it was sent, counted from 1.
    pub attempt: u32,
    /// Whether a CSP before may have carried it out.
    pub is_recovery: bool,
    /// Whether it is sent for the outcome that its id has already, and is not to be carried out.
    pub asks: bool,
    /// Whether it is sent to be refused under its id for good, or to be told its outcome, and is not to be carried out.
    pub refuses: bool,
    /// How long its answer matters, counted from `sent_at`.
    pub left_ms: u64,
    /// What the clock of the CSP shows at least, and the process whose clock that is.
    pub sent_at: Option<(u64, Arc<str>)>,
}

/// Is that CSP there?
#[derive(Debug, Clone)]
pub struct Question {
    /// Its group.
    pub group: String,
    /// Its name.
    pub csp: String,
    index: CspIndex,
    number: u64,
}

/// The subjects of one CSP, made once.
struct Destination {
    update: Subject,
    query: Subject,
}

/// One group.
struct Group {
    definition: GroupDefinition,
    destinations: Vec<Destination>,
    traffic: Traffic<Envelope>,
    /// It was removed, and stays until its last request has ended.
    is_removed: bool,
}

type Groups = HashMap<String, Arc<Mutex<Group>>, foldhash::fast::RandomState>;

/// The table.
pub struct Router {
    groups: RwLock<Groups>,
    policy: Policy,
}

impl Router {
    /// A table without groups.
    pub fn new(policy: Policy) -> Self {
        Self { groups: RwLock::default(), policy }
    }

    /// Puts a group into the table, or changes it. What is known of its CSPs, and their requests, are kept.
    pub fn define(&self, definition: GroupDefinition, now_ms: u64) -> Vec<Task> {
        let mut groups = self.groups.write();
        let Some(known) = groups.get(&definition.name).cloned() else {
            groups.insert(definition.name.clone(), Arc::new(Mutex::new(Group::new(definition, self.policy))));
            return Vec::new();
        };
        // The table stays locked, so that a sweep does not drop a removed group that comes back.
        let mut group = known.lock();
        if group.definition == definition && !group.is_removed {
            return Vec::new();
        }
        group.redefine(definition, now_ms)
    }

    /// Takes a group out of the table.
    pub fn remove(&self, name: &str) -> Vec<Task> {
        let Some(group) = self.group(name) else {
            return Vec::new();
        };
        let mut group = group.lock();
        group.is_removed = true;
        let effects = group.traffic.close();
        group.tasks(effects)
    }

    /// Takes a request: what is to be done with it now, nothing if it waits. Gives it back if there is no such group.
    pub fn take(
        &self,
        group: &str,
        arrival: Arrival<Envelope>,
        now_ms: u64,
    ) -> Result<Option<Task>, Arrival<Envelope>> {
        let Some(group) = self.group(group) else {
            return Err(arrival);
        };
        let mut group = group.lock();
        if group.is_removed {
            return Err(arrival);
        }
        Ok(group.traffic.take(arrival, now_ms).map(|effect| group.task(effect)))
    }

    /// Takes in a heartbeat. Those of a CSP that hears nothing count as missing.
    pub fn heard(&self, heartbeat: &Heartbeat, now_ms: u64) -> Vec<Task> {
        if !heartbeat.is_sign_of_life() {
            return Vec::new();
        }
        self.with(&heartbeat.group, |group| {
            let (is_known, effects) = group.traffic.heard(&heartbeat.csp, &report(heartbeat), now_ms);
            if !is_known {
                tracing::trace!(group = heartbeat.group, csp = heartbeat.csp, "heartbeat of an unknown CSP");
            }
            effects
        })
    }

    /// Takes in what supervision says.
    pub fn judged(&self, change: &CspStateChange, now_ms: u64) -> Vec<Task> {
        let incarnation = change.incarnation.as_deref();
        let is_deserted = change.deserted && change.state == CspState::Unavailable;
        self.with(&change.group, |group| match is_deserted {
            true => group.traffic.deserted(&change.csp, incarnation, now_ms),
            false => group.traffic.judged(&change.csp, change.state, incarnation, now_ms),
        })
    }

    /// Takes in what supervision wrote down before we listened.
    pub fn judged_before(&self, change: &CspStateChange) {
        if let (CspState::Suspect, Some(incarnation)) = (change.state, change.incarnation.as_deref())
            && let Some(group) = self.group(&change.group)
        {
            group.lock().traffic.doubted_before(&change.csp, incarnation);
        }
    }

    /// Takes in what supervision says of a node in place of its CSPs. Their return is told by their heartbeats.
    pub fn node_judged(&self, change: &NodeStateChange, now_ms: u64) -> Vec<Task> {
        if change.available {
            return Vec::new();
        }
        self.with(&change.group, |group| group.traffic.node_judged(&change.csps, &change.deserted, now_ms))
    }

    /// Takes in a completion note.
    pub fn completed(&self, note: &Completions, now_ms: u64) -> Vec<Task> {
        self.with(&note.group, |group| group.traffic.completed(note, now_ms))
    }

    /// Takes in what became of a question.
    pub fn probed(&self, question: &Question, outcome: ProbeOutcome, now_ms: u64) -> Vec<Task> {
        self.with(&question.group, |group| group.traffic.probed(question.index, question.number, outcome, now_ms))
    }

    /// Our own connection was lost, and is there again: what was on its way then may be lost.
    pub fn reconnected(&self, now_ms: u64) -> Vec<Task> {
        let groups: Vec<_> = self.groups.read().values().cloned().collect();
        let sent_again = groups.iter().flat_map(|group| {
            let mut group = group.lock();
            let effects = group.traffic.reconnected(now_ms);
            group.tasks(effects)
        });
        sent_again.collect()
    }

    /// Lets time pass; the clock on the wall says `utc_ms`.
    pub fn sweep(&self, utc_ms: u64, now_ms: u64) -> Vec<Task> {
        let groups: Vec<_> = self.groups.read().values().cloned().collect();
        let mut tasks = Vec::new();
        let mut is_finished = false;
        for group in groups {
            let mut group = group.lock();
            let effects = group.traffic.look_at_clock(utc_ms, now_ms);
            tasks.extend(group.tasks(effects));
            let effects = group.traffic.sweep(now_ms);
            tasks.extend(group.tasks(effects));
            is_finished |= group.is_finished();
        }
        if is_finished {
            self.groups.write().retain(|_, group| !group.lock().is_finished());
        }
        tasks
    }

    /// Whether no request is open.
    pub fn is_empty(&self) -> bool {
        self.groups.read().values().all(|group| group.lock().traffic.open().is_empty())
    }

    /// Whether the table has that group.
    pub fn knows(&self, group: &str) -> bool {
        self.group(group).is_some_and(|group| !group.lock().is_removed)
    }

    /// The names of all groups, sorted.
    pub fn names(&self) -> Vec<String> {
        let groups = self.groups.read();
        let defined = groups.iter().filter(|(_, group)| !group.lock().is_removed);
        let mut names: Vec<_> = defined.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// All CSPs, each with its group.
    pub fn csps(&self) -> Vec<(String, String)> {
        let groups: Vec<_> = self.groups.read().values().cloned().collect();
        let csps = groups.iter().flat_map(|group| {
            let group = group.lock();
            group.definition.csps.iter().map(|csp| (group.definition.name.clone(), csp.clone())).collect::<Vec<_>>()
        });
        csps.collect()
    }

    fn with(&self, name: &str, event: impl FnOnce(&mut Group) -> Vec<Effect<Envelope>>) -> Vec<Task> {
        let Some(group) = self.group(name) else {
            return Vec::new();
        };
        let mut group = group.lock();
        let effects = event(&mut group);
        group.tasks(effects)
    }

    fn group(&self, name: &str) -> Option<Arc<Mutex<Group>>> {
        self.groups.read().get(name).cloned()
    }
}

impl Group {
    fn new(definition: GroupDefinition, policy: Policy) -> Self {
        let policy = Policy { silence: Silence::new(&definition.supervision), ..policy };
        let mut traffic = Traffic::new(definition.replication, definition.csps.clone(), policy);
        // Nobody waits yet, so nothing follows from it.
        traffic.arrange(&definition.pools, definition.update_windows.as_ref(), 0);
        let mut group = Self { definition, destinations: Vec::new(), traffic, is_removed: false };
        group.address();
        group
    }

    fn redefine(&mut self, definition: GroupDefinition, now_ms: u64) -> Vec<Task> {
        self.definition = definition;
        self.is_removed = false;
        self.traffic.set_silence(Silence::new(&self.definition.supervision));
        let GroupDefinition { replication, csps, pools, update_windows, .. } = &self.definition;
        let mut effects = self.traffic.redefine(*replication, csps, now_ms);
        effects.extend(self.traffic.arrange(pools, update_windows.as_ref(), now_ms));
        self.address();
        self.tasks(effects)
    }

    /// Makes the subjects of CSPs that have none yet. A place in the roster is a place in this list.
    fn address(&mut self) {
        let (group, known) = (&self.definition.name, self.destinations.len());
        for csp in self.traffic.roster().names().skip(known) {
            self.destinations.push(Destination {
                update: Subject::from(subject::csp_update(group, csp)),
                query: Subject::from(subject::csp_query(group, csp)),
            });
        }
    }

    fn is_finished(&self) -> bool {
        self.is_removed && self.traffic.open().is_empty()
    }

    fn tasks(&self, effects: Vec<Effect<Envelope>>) -> Vec<Task> {
        effects.into_iter().map(|effect| self.task(effect)).collect()
    }

    fn task(&self, effect: Effect<Envelope>) -> Task {
        let group = || self.definition.name.clone();
        let name = |csp: CspIndex| self.traffic.roster().name(csp).to_owned();
        match effect {
            Effect::Send(sending) => Task::Send(Parcel {
                destination: match sending.cargo.kind {
                    Kind::Update | Kind::Query => self.destination(sending.csp, sending.is_update),
                    Kind::Transaction(verb) => {
                        Subject::from(subject::csp_transaction(&group(), &name(sending.csp), verb.name()))
                    }
                    Kind::Lock(verb) => Subject::from(subject::csp_lock(&group(), &name(sending.csp), verb.name())),
                },
                envelope: sending.cargo,
                number: sending.number,
                attempt: sending.attempt,
                is_recovery: sending.is_recovery,
                asks: sending.asks,
                refuses: sending.refuses,
                left_ms: sending.left_ms,
                sent_at: self.clock_of(sending.csp, sending.at_ms),
            }),
            Effect::End { cargo, ending } => Task::Refuse {
                envelope: cargo,
                code: ending.code(),
                message: format!("group {}: {}", self.definition.name, told(ending, self.traffic.roster())),
                retry_after_ms: ending.retry_after_ms(),
            },
            Effect::Probe { csp, question } => {
                Task::Probe(Question { group: group(), csp: name(csp), index: csp, number: question })
            }
            Effect::Vanished { csp, cause, requests } => {
                Task::Vanished { group: group(), csp: name(csp), cause, requests }
            }
        }
    }

    fn clock_of(&self, csp: CspIndex, now_ms: u64) -> Option<(u64, Arc<str>)> {
        let member = self.traffic.roster().member(csp)?;
        Some((member.clock_at(now_ms)?.clock_ms, member.shared_incarnation()))
    }

    fn destination(&self, csp: CspIndex, is_update: bool) -> Subject {
        match self.destinations.get(csp.0) {
            Some(destination) if is_update => destination.update.clone(),
            Some(destination) => destination.query.clone(),
            // Every place of the roster was given its subjects, so this is never reached.
            None => Subject::from(subject::csp_status(&self.definition.name, self.traffic.roster().name(csp))),
        }
    }
}

/// Why a request ends here.
fn told(ending: Ending, roster: &Roster) -> String {
    let Ending::NoRoute(NoRoute::LogRefuses { csp, .. }) = ending else {
        return format!("{ending}{}", missed(ending, roster));
    };
    let refusal = roster.member(csp).and_then(Member::parted);
    let reason = refusal.map_or("the log is lost", |refusal| refusal.reason.as_str());
    format!("{reason}. Nothing was written, and queries of consistency `any` are answered")
}

/// Whom a request waited for in vain, in brackets; or what it could have asked for.
fn missed(ending: Ending, roster: &Roster) -> String {
    match ending {
        Ending::NoRoute(NoRoute::PrimaryUnavailable(index)) => format!(" ({})", roster.name(index)),
        Ending::NoRoute(NoRoute::PoolUnavailable(index)) => format!(" ({})", roster.pools().name(index)),
        Ending::UnknownPool => match roster.pools().names().collect::<Vec<_>>() {
            names if names.is_empty() => "; it has no pools".to_owned(),
            names => format!("; its pools are: {}", names.join(", ")),
        },
        _ => String::new(),
    }
}

fn report(heartbeat: &Heartbeat) -> Report {
    Report {
        incarnation: heartbeat.incarnation.clone(),
        state: heartbeat.state,
        applied: heartbeat.applied,
        log_end: heartbeat.log_end.unwrap_or(heartbeat.applied),
        epoch: heartbeat.epoch,
        primary: heartbeat.primary.clone(),
        outstanding: heartbeat.outstanding,
        query_us: heartbeat.query_us,
        update_us: heartbeat.update_us,
        connects: heartbeat.connects,
        updates_refused: heartbeat.updates_refused.clone(),
        clock_ms: heartbeat.clock_ms,
    }
}
