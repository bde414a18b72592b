//! What execution knows of a group: its CSPs in the order of the definition, and who is primary.
//!
//! Everything here comes from heartbeats and is forgotten at a restart; three heartbeat intervals later it is complete again.
//! The primary is the one named with the highest epoch: an old primary that wakes up names an older epoch and is not heard.

use super::member::{Member, Report};
use super::timeline::Timeline;
use holdfast_schemas::message::Replication;

/// How many heartbeat intervals of silence until a CSP is not chosen any more.
pub const HEARTBEATS_MISSED_MAX: u64 = 3;

/// A CSP's place in the definition of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CspIndex(pub usize);

/// The CSPs of one group, as last heard.
#[derive(Debug)]
pub struct Roster {
    replication: Replication,
    names: Vec<String>,
    members: Vec<Option<Member>>,
    epoch: u64,
    primary: Option<CspIndex>,
    timeline: Timeline,
    heartbeat_interval_ms: u64,
    rotation: usize,
}

impl Roster {
    /// A roster of CSPs of which nothing has been heard.
    pub fn new(replication: Replication, names: Vec<String>, heartbeat_interval_ms: u64) -> Self {
        let members = names.iter().map(|_| None).collect();
        Self {
            replication,
            names,
            members,
            epoch: 0,
            primary: None,
            timeline: Timeline::default(),
            heartbeat_interval_ms,
            rotation: 0,
        }
    }

    /// Takes in a heartbeat. Returns false for a name that is not in the group's definition.
    pub fn observe(&mut self, csp: &str, report: &Report, now_ms: u64) -> bool {
        let Some(index) = self.find(csp) else {
            return false;
        };
        self.timeline.note(report.log_end.max(report.applied), now_ms);
        let lag_ms = self.timeline.lag_ms(report.applied, now_ms);
        match self.members.get_mut(index.0) {
            Some(Some(member)) if member.incarnation == report.incarnation => {
                member.update(report, lag_ms, now_ms);
            }
            Some(place) => *place = Some(Member::new(report, lag_ms, now_ms)),
            None => return false,
        }
        self.learn_primary(report);
        true
    }

    fn learn_primary(&mut self, report: &Report) {
        let newer = report.epoch > self.epoch;
        let missing = report.epoch == self.epoch && self.primary.is_none();
        if newer || missing {
            self.epoch = report.epoch;
            self.primary = report.primary.as_deref().and_then(|name| self.find(name));
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

    /// What is known of the CSP at a place.
    pub fn member(&self, index: CspIndex) -> Option<&Member> {
        self.members.get(index.0)?.as_ref()
    }

    /// Whether requests may go to that CSP now.
    pub fn available(&self, index: CspIndex, now_ms: u64) -> bool {
        let fresh_ms = self.heartbeat_interval_ms * HEARTBEATS_MISSED_MAX;
        self.member(index).is_some_and(|member| member.available(now_ms, fresh_ms))
    }

    /// The CSPs that requests may go to now, beginning at another one each time so that equals take turns.
    pub fn candidates(&self, now_ms: u64) -> impl Iterator<Item = (CspIndex, &Member)> {
        let count = self.names.len().max(1);
        (0..self.names.len())
            .map(move |step| CspIndex((self.rotation + step) % count))
            .filter(move |index| self.available(*index, now_ms))
            .filter_map(|index| self.member(index).map(|member| (index, member)))
    }

    /// Counts a request that goes to that CSP.
    pub fn forwarded(&mut self, index: CspIndex) {
        self.rotation = (index.0 + 1) % self.names.len().max(1);
        if let Some(Some(member)) = self.members.get_mut(index.0) {
            member.forwarded();
        }
    }

    /// The group's way of replication.
    pub fn replication(&self) -> Replication {
        self.replication
    }

    /// The primary of the highest epoch that was heard of.
    pub fn primary(&self) -> Option<CspIndex> {
        self.primary
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
        self.heartbeat_interval_ms
    }
}
