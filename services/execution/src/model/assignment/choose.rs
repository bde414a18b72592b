//! Which CSP gets a task.
//!
//! Whoever is not fit gets a task only if its holder is gone and nobody is fit: then the one of which least is doubted. Among the
//! fit, wishes count in this order: one that has been available for a
//! while before one that has just come; one in step with the log before a later one; a preferred node; away from the tasks
//! to be kept apart from; the fewest tasks; the farthest copy; the least load; the least name.

use super::candidate::Candidate;
use super::group::Group;
use super::ledger::Ledger;
use holdfast_schemas::message::TaskDefinition;
use std::cmp::Reverse;

/// The best CSP for `task` other than `except`; none where nobody is fit.
pub fn best<'a>(
    group: &'a Group,
    ledger: &Ledger,
    task: &TaskDefinition,
    except: Option<&str>,
    now_ms: u64,
) -> Option<&'a str> {
    let policy = group.policy();
    best_of(group, ledger, task, except, now_ms, |candidate| candidate.fit(policy, now_ms).is_ok())
}

/// The best of those that nobody would choose, but that serve: for a task whose holder is gone, where nobody is fit.
pub fn better_than_nobody<'a>(
    group: &'a Group,
    ledger: &Ledger,
    task: &TaskDefinition,
    except: Option<&str>,
    now_ms: u64,
) -> Option<&'a str> {
    let policy = group.policy();
    best_of(group, ledger, task, except, now_ms, |candidate| candidate.better_than_nobody(policy, now_ms))
}

/// The best of those that keep step with the log: one that holds the task, however badly, gives way to nobody else.
pub fn best_in_step<'a>(
    group: &'a Group,
    ledger: &Ledger,
    task: &TaskDefinition,
    except: Option<&str>,
    now_ms: u64,
) -> Option<&'a str> {
    let policy = group.policy();
    let is_in_step =
        |candidate: &Candidate| candidate.fit(policy, now_ms).is_ok() && !candidate.is_late(policy.in_step_ms);
    best_of(group, ledger, task, except, now_ms, is_in_step)
}

fn best_of<'a>(
    group: &'a Group,
    ledger: &Ledger,
    task: &TaskDefinition,
    except: Option<&str>,
    now_ms: u64,
    suits: impl Fn(&Candidate) -> bool,
) -> Option<&'a str> {
    let policy = group.policy();
    let avoided = nodes_to_avoid(group, ledger, task);
    let suitable = group
        .csps()
        .filter(|csp| except != Some(*csp))
        .filter_map(|csp| group.candidate(csp).map(|candidate| (csp, candidate)))
        .filter(|(_, candidate)| suits(candidate));
    let rank = |(csp, candidate): &(&'a str, &Candidate)| {
        (
            candidate.doubts(policy, now_ms),
            candidate.is_unsettled(policy, now_ms),
            candidate.is_late(policy.in_step_ms),
            !candidate.node().is_some_and(|node| task.prefer_nodes.iter().any(|preferred| preferred == node)),
            candidate.node().is_some_and(|node| avoided.contains(&node)),
            tasks_held(group, ledger, task, csp),
            Reverse(candidate.applied()),
            candidate.outstanding(),
            *csp,
        )
    };
    suitable.min_by_key(rank).map(|(csp, _)| csp)
}

/// The nodes on which tasks run that this one is to be kept apart from, whichever of the two says so.
fn nodes_to_avoid<'a>(group: &'a Group, ledger: &Ledger, task: &TaskDefinition) -> Vec<&'a str> {
    let apart = |other: &&TaskDefinition| {
        task.keep_apart_from.contains(&other.name) || other.keep_apart_from.contains(&task.name)
    };
    let holders = group.tasks().iter().filter(apart).filter_map(|other| ledger.next_holder(&other.name));
    holders.filter_map(|csp| group.candidate(csp)?.node()).collect()
}

fn tasks_held(group: &Group, ledger: &Ledger, task: &TaskDefinition, csp: &str) -> usize {
    let others = group.tasks().iter().filter(|other| other.name != task.name);
    others.filter(|other| ledger.next_holder(&other.name) == Some(csp)).count()
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
