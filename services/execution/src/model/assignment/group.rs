//! What assignment knows of one group: its definition, its CSPs, and how far its log is.
//!
//! The epoch is the highest that any copy has read from the log. It is kept when that copy is silent later, since a log takes
//! nothing back.

use super::Policy;
use super::candidate::{Candidate, Gone};
use crate::model::timeline::Timeline;
use holdfast_schemas::message::{
    CspStateChange, GroupDefinition, Heartbeat, Replication, TASK_REPLICATION, TaskDefinition,
};
use std::collections::BTreeMap;

/// One group, as last heard.
#[derive(Debug)]
pub struct Group {
    policy: Policy,
    definition: Option<GroupDefinition>,
    tasks: Vec<TaskDefinition>,
    candidates: BTreeMap<String, Candidate>,
    timeline: Timeline,
    log: Option<LogEpoch>,
}

/// What the log says about the primary, as the copy tells that has read farthest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEpoch {
    /// The epoch.
    pub epoch: u64,
    /// Its primary.
    pub primary: String,
}

impl Group {
    /// A group of which nothing is known.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            definition: None,
            tasks: Vec::new(),
            candidates: BTreeMap::new(),
            timeline: Timeline::default(),
            log: None,
        }
    }

    /// The group is defined like this from now on.
    pub fn define(&mut self, definition: GroupDefinition) {
        self.policy = self.policy.with(&definition.supervision);
        self.tasks = definition.tasks.clone();
        let named = self.tasks.iter().any(|task| task.name == TASK_REPLICATION);
        if definition.replication == Replication::Primary && !named {
            self.tasks.insert(0, TaskDefinition::new(TASK_REPLICATION));
        }
        self.definition = Some(definition);
    }

    /// The group is not defined any more: nothing in it is assigned.
    pub fn undefine(&mut self) {
        *self = Self::new(self.policy);
    }

    /// Takes in a heartbeat; one of a CSP that is not defined, or hears nothing, says nothing.
    pub fn heartbeat(&mut self, beat: &Heartbeat, now_ms: u64) {
        if !self.has(&beat.csp) || !beat.is_sign_of_life() {
            return;
        }
        self.timeline.note(beat.log_end.unwrap_or_default().max(beat.applied), now_ms);
        let lag_ms = self.timeline.lag_ms(beat.applied, now_ms);
        self.candidates.entry(beat.csp.clone()).or_default().heartbeat(beat, lag_ms, &self.policy, now_ms);
        if let Some(primary) = &beat.primary
            && self.log.as_ref().is_none_or(|log| log.epoch < beat.epoch)
        {
            self.log = Some(LogEpoch { epoch: beat.epoch, primary: primary.clone() });
        }
    }

    /// Takes in what supervision says just now.
    pub fn judge(&mut self, change: &CspStateChange, now_ms: u64) {
        if self.has(&change.csp) {
            self.candidates.entry(change.csp.clone()).or_default().judge(change, now_ms);
        }
    }

    /// Takes in what supervision wrote down some time ago.
    pub fn judged_before(&mut self, change: &CspStateChange, asked_at_ms: u64, now_ms: u64) {
        if self.has(&change.csp) {
            let candidate = self.candidates.entry(change.csp.clone()).or_default();
            candidate.judged_before(change, &self.policy, asked_at_ms, now_ms);
        }
    }

    /// Why this CSP must lose its tasks, if it must.
    pub fn gone(&self, csp: &str, now_ms: u64) -> Option<Gone> {
        if !self.has(csp) {
            return Some(Gone::Undefined);
        }
        self.candidates.get(csp).and_then(|candidate| candidate.gone(&self.policy, now_ms))
    }

    /// Whether this CSP is so far from serving that somebody who has served for `other_ms` should do its work: it still reads the
    /// log, and will for longer than it may, or is not seen to come to an end while the other one waits for as long.
    pub fn is_far_from_serving(&self, csp: &str, other_ms: u64) -> bool {
        let max_ms = self.policy.catch_up_ms_max;
        self.candidates.get(csp).is_some_and(|candidate| {
            let is_long = candidate.reads_for_ms(self.timeline.end()).is_some_and(|left_ms| left_ms > max_ms);
            candidate.is_reading() && (is_long || other_ms >= max_ms)
        })
    }

    /// In which way this CSP is gray, if it is.
    pub fn gray(&self, csp: &str, now_ms: u64) -> Option<&str> {
        self.candidates.get(csp).and_then(|candidate| candidate.gray(&self.policy, now_ms))
    }

    /// Whether that CSP belongs to the group.
    pub fn has(&self, csp: &str) -> bool {
        self.csps().any(|defined| defined == csp)
    }

    /// Whether the group is defined.
    pub fn is_defined(&self) -> bool {
        self.definition.is_some()
    }

    /// Whether the group has a primary.
    pub fn has_primary(&self) -> bool {
        self.definition.as_ref().is_some_and(|definition| definition.replication == Replication::Primary)
    }

    /// The CSPs of the definition.
    pub fn csps(&self) -> impl Iterator<Item = &str> {
        self.definition.iter().flat_map(|definition| definition.csps.iter().map(String::as_str))
    }

    /// The tasks of the group, that of being primary among them where there is one.
    pub fn tasks(&self) -> &[TaskDefinition] {
        &self.tasks
    }

    /// One task.
    pub fn task(&self, name: &str) -> Option<&TaskDefinition> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// What is known of a CSP.
    pub fn candidate(&self, csp: &str) -> Option<&Candidate> {
        self.candidates.get(csp)
    }

    /// What the log says about the primary.
    pub fn log(&self) -> Option<&LogEpoch> {
        self.log.as_ref()
    }

    /// Whether anybody lives who would have to show what the log says.
    pub fn has_reader(&self, now_ms: u64) -> bool {
        self.candidates.values().any(|candidate| candidate.reads_the_log(&self.policy, now_ms))
    }

    /// What assignment goes by.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}
