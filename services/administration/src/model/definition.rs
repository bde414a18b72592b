//! May this group be defined?
//!
//! The same definition again is no error, since a command may be repeated after any failure. Another one under the same name is a
//! change where that is only of how requests are routed or how the group is watched, and else refused: copies and their log
//! already work by the first.

use holdfast_schemas::limits::MIN_IDS_KEPT_MS;
use holdfast_schemas::message::GroupDefinition;
use holdfast_schemas::{ErrorCode, Message};

/// What to do with a definition.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new.
    Create,
    /// It is there, and is routed or watched otherwise: pools, update windows and the policy are to be these from now on.
    Change,
    /// It is there already, with this revision.
    Present(Box<GroupDefinition>),
    /// It cannot be.
    Refuse(Refusal),
}

/// Why a definition is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: ErrorCode,
    /// One sentence that says what to do.
    pub message: String,
}

impl Refusal {
    /// A definition that contradicts one that is there.
    pub fn exists(message: String) -> Self {
        Self { code: ErrorCode::AlreadyExists, message }
    }
}

/// Judges `wanted` beside what is defined.
pub fn judge(wanted: &GroupDefinition, defined: &[GroupDefinition]) -> Verdict {
    if let Err(error) = wanted.check() {
        return Verdict::Refuse(Refusal { code: error.code(), message: error.to_string() });
    }
    if let Some(present) = defined.iter().find(|group| group.name == wanted.name) {
        return match difference(wanted, present) {
            Some(field) => Verdict::Refuse(Refusal::exists(format!(
                "group {} is defined already, with another {field}, and only its pools, update windows and policy of supervision can \
                 be changed; choose another name, or define it as it is",
                wanted.name
            ))),
            None if works_alike(wanted, present) => Verdict::Present(Box::new(present.clone())),
            None => Verdict::Change,
        };
    }
    if wanted.ids_kept_ms < MIN_IDS_KEPT_MS {
        return Verdict::Refuse(Refusal {
            code: ErrorCode::InvalidRequest,
            message: format!(
                "the field `ids_kept_ms` is {}: send {MIN_IDS_KEPT_MS} at least, or an update could count twice",
                wanted.ids_kept_ms
            ),
        });
    }
    match overlap(wanted, defined) {
        None => Verdict::Create,
        Some((csp, group)) => Verdict::Refuse(Refusal::exists(format!(
            "CSP {csp} belongs to group {group} already; a CSP has one copy and one group"
        ))),
    }
}

/// Whether all services work for it the same way. They can take up another way at any time, and no copy goes by it.
fn works_alike(wanted: &GroupDefinition, present: &GroupDefinition) -> bool {
    wanted.pools == present.pools
        && wanted.update_windows == present.update_windows
        && wanted.supervision == present.supervision
}

/// The first field in which two definitions differ that a running group must keep; the revision is ours and does not count.
fn difference(wanted: &GroupDefinition, present: &GroupDefinition) -> Option<&'static str> {
    let fields = [
        ("list of CSPs", wanted.csps == present.csps),
        ("replication", wanted.replication == present.replication),
        ("isolation", wanted.isolation == present.isolation),
        ("storage", wanted.storage == present.storage),
        ("ids_kept_ms", wanted.ids_kept_ms == present.ids_kept_ms),
        ("log_replicas", wanted.log_replicas == present.log_replicas),
        ("list of tasks", wanted.tasks == present.tasks),
    ];
    fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}

fn overlap<'a>(wanted: &'a GroupDefinition, defined: &'a [GroupDefinition]) -> Option<(&'a str, &'a str)> {
    defined.iter().find_map(|group| {
        let shared = wanted.csps.iter().find(|csp| group.csps.contains(csp))?;
        Some((shared.as_str(), group.name.as_str()))
    })
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
