//! May this group be defined?
//!
//! A definition is written once. The same one again is no error, since a command may be repeated after any failure; another
//! one under the same name is refused, since copies already work by the first.

use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::administration::GroupDefinition;
use holdfast_schemas::limits::{MAX_CSPS, MAX_IDS_KEPT_MS, MIN_IDS_KEPT_MS};
use holdfast_schemas::name::{self, NameKind};
use std::collections::BTreeSet;

/// What to do with a definition.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new.
    Create,
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
    /// A definition that is wrong in itself.
    pub fn invalid(message: String) -> Self {
        Self { code: ErrorCode::InvalidRequest, message }
    }

    /// A definition that contradicts one that is there.
    pub fn exists(message: String) -> Self {
        Self { code: ErrorCode::AlreadyExists, message }
    }
}

/// Judges `wanted` beside what is defined.
pub fn judge(wanted: &GroupDefinition, defined: &[GroupDefinition]) -> Verdict {
    if let Err(refusal) = check(wanted) {
        return Verdict::Refuse(refusal);
    }
    if let Some(present) = defined.iter().find(|group| group.name == wanted.name) {
        return match difference(wanted, present) {
            None => Verdict::Present(Box::new(present.clone())),
            Some(field) => Verdict::Refuse(Refusal::exists(format!(
                "group {} is defined already, with another {field}; choose another name, or define it as it is",
                wanted.name
            ))),
        };
    }
    match overlap(wanted, defined) {
        None => Verdict::Create,
        Some((csp, group)) => Verdict::Refuse(Refusal::exists(format!(
            "CSP {csp} belongs to group {group} already; a CSP has one copy and one group"
        ))),
    }
}

/// Is the definition right in itself?
pub fn check(wanted: &GroupDefinition) -> Result<(), Refusal> {
    name::validate(NameKind::Group, &wanted.name).map_err(|error| Refusal::invalid(error.to_string()))?;
    for csp in &wanted.csps {
        name::validate(NameKind::Csp, csp).map_err(|error| Refusal::invalid(error.to_string()))?;
    }
    let distinct: BTreeSet<_> = wanted.csps.iter().collect();
    let problem = if wanted.csps.is_empty() || wanted.csps.len() > MAX_CSPS {
        Some(format!("a group has from 1 to {MAX_CSPS} CSPs, this one has {}", wanted.csps.len()))
    } else if distinct.len() != wanted.csps.len() {
        Some("a CSP is named twice".to_owned())
    } else if !matches!(wanted.log_replicas, 1 | 3 | 5) {
        Some(format!("log_replicas is {}, it must be 1, 3 or 5", wanted.log_replicas))
    } else if !(MIN_IDS_KEPT_MS..=MAX_IDS_KEPT_MS).contains(&wanted.ids_kept_ms) {
        Some(format!(
            "ids_kept_ms is {}, it must be from {MIN_IDS_KEPT_MS} to {MAX_IDS_KEPT_MS}",
            wanted.ids_kept_ms
        ))
    } else {
        None
    };
    problem.map_or(Ok(()), |message| Err(Refusal::invalid(message)))
}

/// The first field in which two definitions differ; the revision is ours and does not count.
fn difference(wanted: &GroupDefinition, present: &GroupDefinition) -> Option<&'static str> {
    let fields = [
        ("list of CSPs", wanted.csps == present.csps),
        ("replication", wanted.replication == present.replication),
        ("isolation", wanted.isolation == present.isolation),
        ("storage", wanted.storage == present.storage),
        ("ids_kept_ms", wanted.ids_kept_ms == present.ids_kept_ms),
        ("log_replicas", wanted.log_replicas == present.log_replicas),
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
