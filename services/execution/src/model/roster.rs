//! What execution knows of a group: its CSPs in the order of the definition, and who is primary.
//!
//! Everything here comes from heartbeats and is forgotten at a restart; an interval later it is complete again.
//! The primary is the one named with the highest epoch: an old primary that wakes up names an older epoch and is not heard.

use super::member::{Member, Report};
use super::policy::{Policy, Silence};
use super::pools::Pools;
use super::route::Need;
use super::service_time::ServiceTime;
use super::timeline::Timeline;
use holdfast_schemas::message::{CspState, PoolDefinition, Replication};
use std::collections::{BTreeMap, BTreeSet};

/// How many heartbeat intervals of silence until a CSP is not chosen any more.
pub const HEARTBEATS_MISSED_MAX: u64 = 3;

/// A CSP's place in the definition of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CspIndex(pub usize);

/// Who a heartbeat came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A name that is not in the group's definition.
    Stranger,
    /// A CSP of which nothing was heard before, or the process that was there before.
    Known(CspIndex),
    /// The process that was there before, over another connection: what was on its way when the one before it ended may be lost. It
    /// may have been held for lost meanwhile.
    Reconnected(CspIndex),
    /// The process that was there before, after a silence in which it was held for lost.
    HeardAgain(CspIndex),
    /// Another process than before: what was open at the one before is lost.
    Replaced(CspIndex),
}

/// The CSPs of one group, as last heard. Places stay as they are for ever: a CSP that leaves the group keeps its own.
#[derive(Debug)]
pub struct Roster {
    replication: Replication,
    names: Vec<String>,
    is_defined: Vec<bool>,
    members: Vec<Option<Member>>,
    pools: Pools,
    /// The processes that supervision doubted before we listened, and of which it has said nothing since.
    doubted_before: BTreeMap<CspIndex, String>,
    /// Those of which supervision has said something while we listened.
    judged: BTreeSet<CspIndex>,
    epoch: u64,
    primary: Option<CspIndex>,
    primary_since_ms: u64,
    timeline: Timeline,
    policy: Policy,
    rotation: usize,
}

impl Roster {
    /// A roster of CSPs of which nothing has been heard.
    pub fn new(replication: Replication, names: Vec<String>, policy: Policy) -> Self {
        let members = names.iter().map(|_| None).collect();
        Self {
            replication,
            is_defined: vec![true; names.len()],
            names,
            members,
            pools: Pools::default(),
            doubted_before: BTreeMap::new(),
            judged: BTreeSet::new(),
            epoch: 0,
            primary: None,
            primary_since_ms: 0,
            timeline: Timeline::default(),
            policy,
            rotation: 0,
        }
    }

    /// The group has these CSPs from now on. What is known of those that it had before is kept.
    pub fn redefine(&mut self, replication: Replication, names: &[String]) {
        self.replication = replication;
        for name in names {
            if self.find(name).is_none() {
                self.names.push(name.clone());
                self.members.push(None);
            }
        }
        self.is_defined = self.names.iter().map(|name| names.contains(name)).collect();
    }

    /// The group has these pools from now on.
    pub fn redefine_pools(&mut self, definitions: &[PoolDefinition]) {
        let names = &self.names;
        self.pools.redefine(definitions, |csp| names.iter().position(|name| name == csp).map(CspIndex));
    }

    /// Silence means this from now on.
    pub fn set_silence(&mut self, silence: Silence) {
        self.policy.silence = silence;
    }

    /// Supervision doubted that process before we listened. Of whom it has said something since, that counts: what was read may be
    /// older.
    pub fn recall_doubt(&mut self, csp: &str, incarnation: &str) {
        let Some(index) = self.find(csp).filter(|index| !self.judged.contains(index)) else { return };
        match self.member_mut(index) {
            Some(member) => member.is_doubted |= *member.incarnation == *incarnation,
            None => drop(self.doubted_before.insert(index, incarnation.to_owned())),
        }
    }

    /// Supervision says something new of that CSP.
    pub fn note_verdict(&mut self, index: CspIndex) {
        self.judged.insert(index);
        self.doubted_before.remove(&index);
    }

    /// Takes in a heartbeat.
    pub fn observe(&mut self, csp: &str, report: &Report, now_ms: u64) -> Heard {
        let Some(index) = self.find(csp) else {
            return Heard::Stranger;
        };
        self.timeline.note(report.log_end.max(report.applied), now_ms);
        let lag_ms = self.timeline.lag_ms(report.applied, now_ms);
        // A heartbeat that was under way when its sender was found gone says nothing new; half an interval is plenty.
        let under_way_ms = self.policy.silence.heartbeat_interval_ms / 2;
        let is_doubted = self.doubted_before.get(&index).is_some_and(|doubted| *doubted == report.incarnation);
        let heard = match self.members.get_mut(index.0) {
            Some(Some(member)) if *member.incarnation == *report.incarnation => {
                let is_reconnected = member.connects != report.connects;
                let was_lost = now_ms.saturating_sub(member.heard_at_ms) > self.policy.silence.lost_after_ms;
                member.update(report, lag_ms, now_ms, under_way_ms);
                member.is_back |= was_lost;
                match (is_reconnected, was_lost) {
                    (true, _) => Heard::Reconnected(index),
                    (false, true) => Heard::HeardAgain(index),
                    (false, false) => Heard::Known(index),
                }
            }
            Some(place) => match place.replace(Member::new(report, lag_ms, now_ms).doubted(is_doubted)) {
                Some(_) => Heard::Replaced(index),
                None => Heard::Known(index),
            },
            None => Heard::Stranger,
        };
        self.learn_primary(report, now_ms);
        heard
    }

    fn learn_primary(&mut self, report: &Report, now_ms: u64) {
        let newer = report.epoch > self.epoch;
        let missing = report.epoch == self.epoch && self.primary.is_none();
        if newer || missing {
            self.epoch = report.epoch;
            let primary = report.primary.as_deref().and_then(|name| self.find(name));
            if primary != self.primary {
                self.primary_since_ms = now_ms;
            }
            self.primary = primary;
        }
    }

    /// The place of a CSP in the definition.
    pub fn find(&self, csp: &str) -> Option<CspIndex> {
        self.names.iter().position(|name| name == csp).map(CspIndex)
    }

    /// The name at a place.
    pub fn name(&self, index: CspIndex) -> &str {
        self.names.get(index.0).map_or("", String::as_str)
    }

    /// The group's pools.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The names of all places.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// What is known of the CSP at a place.
    pub fn member(&self, index: CspIndex) -> Option<&Member> {
        self.members.get(index.0)?.as_ref()
    }

    /// What is known of the CSP at a place, to be changed.
    pub(super) fn member_mut(&mut self, index: CspIndex) -> Option<&mut Member> {
        self.members.get_mut(index.0)?.as_mut()
    }

    /// All CSPs that were heard of.
    pub(super) fn members(&self) -> impl Iterator<Item = (CspIndex, &Member)> {
        let places = self.members.iter().enumerate();
        places.filter_map(|(place, member)| Some((CspIndex(place), member.as_ref()?)))
    }

    /// Whether requests may go to that CSP now.
    pub fn available(&self, index: CspIndex, now_ms: u64) -> bool {
        self.is_defined(index) && self.member(index).is_some_and(|member| member.available(now_ms, self.fresh_ms()))
    }

    /// Whether that CSP carries requests out, as the primary or where nobody else does: one that drains does.
    pub fn carries_out(&self, index: CspIndex, now_ms: u64) -> bool {
        let serves = |member: &Member| {
            let state = member.state();
            (state == CspState::Available || state == CspState::Draining) && member.is_there(now_ms, self.fresh_ms())
        };
        self.is_defined(index) && self.member(index).is_some_and(serves)
    }

    /// Whether the CSP has as many requests of ours as it may have. Those that stand there for a lock are counted for
    /// themselves: they take no room from those that are worked on.
    pub fn is_full(&self, member: &Member, need: Need) -> bool {
        let there = if need == Need::Turn { member.turns() } else { member.open() };
        there >= self.policy.csp_open_max
    }

    /// The CSPs that were silent for so long that they have lost their requests.
    pub fn lost(&self, now_ms: u64) -> Vec<CspIndex> {
        let silent = |member: &Member| now_ms.saturating_sub(member.heard_at_ms) > self.policy.silence.lost_after_ms;
        self.members().filter(|(_, member)| silent(member)).map(|(index, _)| index).collect()
    }

    fn fresh_ms(&self) -> u64 {
        self.policy.silence.heartbeat_interval_ms * HEARTBEATS_MISSED_MAX
    }

    fn is_defined(&self, index: CspIndex) -> bool {
        self.is_defined.get(index.0).copied().unwrap_or_default()
    }

    /// The CSPs that requests may go to now, beginning at another one each time so that equals take turns. Those that drain are among
    /// them while nobody is available.
    pub fn candidates(&self, now_ms: u64) -> impl Iterator<Item = (CspIndex, &Member)> {
        let count = self.names.len().max(1);
        let is_anybody_available = (0..count).any(|place| self.available(CspIndex(place), now_ms));
        let serves = move |index| match is_anybody_available {
            true => self.available(index, now_ms),
            false => self.carries_out(index, now_ms),
        };
        (0..self.names.len())
            .map(move |step| CspIndex((self.rotation + step) % count))
            .filter(move |index| serves(*index))
            .filter_map(|index| self.member(index).map(|member| (index, member)))
    }

    /// The CSPs that were set aside because of the log, if that is so of all that are there: then there is no log to wait for.
    pub fn parted(&self, now_ms: u64) -> impl Iterator<Item = (CspIndex, &Member)> {
        let there = move || {
            let defined = self.members().filter(|(index, _)| self.is_defined(*index));
            defined.filter(move |(_, member)| member.is_there(now_ms, self.fresh_ms()))
        };
        let all = there().all(|(_, member)| member.parted().is_some());
        there().filter(move |_| all)
    }

    /// Counts a request that goes to that CSP.
    pub fn sent(&mut self, index: CspIndex, need: Need) {
        if let Some(member) = self.member_mut(index) {
            member.sent(need);
        }
        self.passed(index);
    }

    /// Passes over that CSP in the turn of equals, for a request that is not followed.
    pub fn passed(&mut self, index: CspIndex) {
        self.rotation = (index.0 + 1) % self.names.len().max(1);
    }

    /// Time passes: reckons paces and weights anew.
    pub fn tick(&mut self, now_ms: u64) {
        let least_of = |time: fn(&Member) -> &ServiceTime| {
            let means = self.members.iter().flatten().filter_map(|member| time(member).mean_ms());
            means.fold(f64::INFINITY, f64::min)
        };
        let (query_ms, update_ms) = (least_of(|member| &member.queries), least_of(|member| &member.updates));
        for member in self.members.iter_mut().flatten() {
            member.pace.tick(member.open(), now_ms);
            member.queries.weigh(query_ms, now_ms);
            member.updates.weigh(update_ms, now_ms);
        }
    }

    /// The group's way of replication.
    pub fn replication(&self) -> Replication {
        self.replication
    }

    /// The primary of the highest epoch that was heard of.
    pub fn primary(&self) -> Option<CspIndex> {
        self.primary.filter(|index| self.is_defined(*index))
    }

    /// The primary, if it has been known as such for at least so long.
    pub fn primary_for(&self, least_ms: u64, now_ms: u64) -> Option<CspIndex> {
        self.primary().filter(|_| now_ms.saturating_sub(self.primary_since_ms) >= least_ms)
    }

    /// The highest epoch that was heard of.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The farthest position that was heard of.
    pub fn log_end(&self) -> u64 {
        self.timeline.end()
    }

    /// A copy at most this late keeps step with its group: heartbeats tell no finer.
    pub fn in_step_ms(&self) -> u64 {
        self.policy.silence.heartbeat_interval_ms
    }
}
