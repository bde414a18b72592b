//! The routing table: every group that is defined, with what heartbeats say of it.
//!
//! The rules are in `model`; this adds the shared table, so that the service, and any client that wants to route by itself,
//! can ask "where to?" from many tasks at once. Locks are held for a look and never over an await. A look is a handful of
//! comparisons, so one lock per group is cheaper than anything cleverer.

use crate::model::member::Report;
use crate::model::roster::{CspIndex, Roster};
use crate::model::route::{self, Need, NoRoute};
use async_nats::Subject;
use holdfast_schemas::message::GroupDefinition;
use holdfast_schemas::message::Heartbeat;
use holdfast_schemas::subject;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// Why there is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The table has no such group.
    #[error("there is no group {0}")]
    UnknownGroup(String),
    /// The group is there, and nobody of it can take the request now.
    #[error("group {group}: {reason}{csp}")]
    NoRoute {
        /// The group.
        group: String,
        /// The rule that found nobody.
        reason: NoRoute,
        /// The CSP that everybody waits for, in brackets; empty where there is none.
        csp: String,
    },
}

/// The subjects of one CSP, made once.
struct Destination {
    update: Subject,
    query: Subject,
}

struct Group {
    definition: GroupDefinition,
    destinations: Vec<Destination>,
    roster: Mutex<Roster>,
}

/// The table.
pub struct Router {
    groups: RwLock<HashMap<String, Arc<Group>, foldhash::fast::RandomState>>,
    changed: Notify,
    heartbeat_interval_ms: u64,
}

impl Router {
    /// A table without groups.
    pub fn new(heartbeat_interval_ms: u64) -> Self {
        Self { groups: RwLock::default(), changed: Notify::new(), heartbeat_interval_ms }
    }

    /// Puts a group into the table. What is known of its CSPs is kept if the definition is the one that was there.
    pub fn define(&self, definition: GroupDefinition) {
        let mut groups = self.groups.write();
        if groups.get(&definition.name).is_some_and(|group| group.definition == definition) {
            return;
        }
        let group = Group::new(definition, self.heartbeat_interval_ms);
        groups.insert(group.definition.name.clone(), Arc::new(group));
        drop(groups);
        self.changed.notify_waiters();
    }

    /// Takes a group out of the table.
    pub fn remove(&self, group: &str) {
        self.groups.write().remove(group);
        self.changed.notify_waiters();
    }

    /// Takes in a heartbeat. Returns false if its group or its CSP is not defined.
    pub fn observe(&self, heartbeat: &Heartbeat, now_ms: u64) -> bool {
        let Some(group) = self.group(&heartbeat.group) else {
            return false;
        };
        let known = group.roster.lock().observe(&heartbeat.csp, &report(heartbeat), now_ms);
        self.changed.notify_waiters();
        known
    }

    /// Chooses the CSP for a request, counts the request as sent there, and returns the subject to send it to.
    pub fn route(&self, group: &str, need: Need, now_ms: u64) -> Result<Subject, RouteError> {
        let group = self.group(group).ok_or_else(|| RouteError::UnknownGroup(group.to_owned()))?;
        let mut roster = group.roster.lock();
        match route::choose(&roster, need, now_ms) {
            Ok(index) => {
                roster.forwarded(index);
                drop(roster);
                group.subject(index, need)
            }
            Err(reason) => Err(group.no_route(reason, &roster)),
        }
    }

    /// Whether the table has that group.
    pub fn knows(&self, group: &str) -> bool {
        self.groups.read().contains_key(group)
    }

    /// The names of all groups, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.groups.read().keys().cloned().collect();
        names.sort();
        names
    }

    /// Told when something changed that may make a route. Enable it before asking, so that nothing is missed.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.read().get(name).cloned()
    }
}

impl Group {
    fn new(definition: GroupDefinition, heartbeat_interval_ms: u64) -> Self {
        let destinations = definition
            .csps
            .iter()
            .map(|csp| Destination {
                update: Subject::from(subject::csp_update(&definition.name, csp)),
                query: Subject::from(subject::csp_query(&definition.name, csp)),
            })
            .collect();
        let roster = Roster::new(definition.replication, definition.csps.clone(), heartbeat_interval_ms);
        Self { definition, destinations, roster: Mutex::new(roster) }
    }

    fn subject(&self, index: CspIndex, need: Need) -> Result<Subject, RouteError> {
        let destination = self.destinations.get(index.0).map(|destination| match need {
            Need::Update => destination.update.clone(),
            Need::Any { .. } | Need::Session { .. } | Need::Strong => destination.query.clone(),
        });
        // Rosters and destinations are made of the same list, so there always is one.
        destination.ok_or_else(|| RouteError::UnknownGroup(self.definition.name.clone()))
    }

    fn no_route(&self, reason: NoRoute, roster: &Roster) -> RouteError {
        let csp = match reason {
            NoRoute::PrimaryUnavailable(index) => format!(" ({})", roster.name(index)),
            NoRoute::PrimaryUnknown | NoRoute::NobodyAvailable | NoRoute::AllBehind => String::new(),
        };
        RouteError::NoRoute { group: self.definition.name.clone(), reason, csp }
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
    }
}
