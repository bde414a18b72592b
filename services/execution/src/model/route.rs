//! Which CSP gets a request.
//!
//! Two rules that nothing overrides: a CSP that is not available is never chosen, and an update of a primary group goes to
//! the primary or nowhere. Among those that remain the cheapest wins, where the cost is the load, plus a surcharge in the same
//! unit (waiting requests) where the CSP would first have to wait for its copy or ask somebody.

use super::member::Member;
use super::roster::{CspIndex, Roster};
use holdfast_schemas::message::Replication;

/// A copy in step that is not known to have reached the position costs as much as one request more in its queue.
const UNPROVEN_SURCHARGE: f64 = 1.0;
/// A copy other than the primary has to learn the end of the log before it may answer a strong query.
const DETOUR_SURCHARGE: f64 = 4.0;

/// What a request demands of the CSP that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A transaction that writes.
    Update,
    /// A query of any copy that was at most that late at its last heartbeat.
    Any {
        /// The reader's bound, if it has one.
        max_lag_ms: Option<u64>,
    },
    /// A query that sees at least this position.
    Session {
        /// The position.
        after: u64,
    },
    /// A query that sees every update acknowledged before it.
    Strong,
}

/// Why nobody can be chosen now. Each may pass by waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// No heartbeat has named a primary of this group's definition.
    #[error("no primary is known")]
    PrimaryUnknown,
    /// The primary is known and does not serve.
    #[error("the primary is not available")]
    PrimaryUnavailable(CspIndex),
    /// No CSP serves.
    #[error("no CSP is available")]
    NobodyAvailable,
    /// CSPs serve, and all are later than the reader allows.
    #[error("every available CSP is further behind than max_lag_ms allows")]
    AllBehind,
}

/// Chooses for `need` among what the roster knows at `now_ms`.
pub fn choose(roster: &Roster, need: Need, now_ms: u64) -> Result<CspIndex, NoRoute> {
    match need {
        Need::Update => for_update(roster, now_ms),
        Need::Any { max_lag_ms } => for_any(roster, max_lag_ms, now_ms),
        Need::Session { after } => for_session(roster, after, now_ms),
        Need::Strong => for_strong(roster, now_ms),
    }
}

fn for_update(roster: &Roster, now_ms: u64) -> Result<CspIndex, NoRoute> {
    if roster.replication() == Replication::Peer {
        return cheapest(roster, now_ms, |_, _| Some(0.0)).ok_or(NoRoute::NobodyAvailable);
    }
    let primary = roster.primary().ok_or(NoRoute::PrimaryUnknown)?;
    if roster.available(primary, now_ms) { Ok(primary) } else { Err(NoRoute::PrimaryUnavailable(primary)) }
}

fn for_any(roster: &Roster, max_lag_ms: Option<u64>, now_ms: u64) -> Result<CspIndex, NoRoute> {
    let allowed = |member: &Member| match (max_lag_ms, member.lag_ms()) {
        (None, _) => true,
        (Some(bound), Some(lag)) => lag <= bound,
        (Some(_), None) => false,
    };
    if let Some(index) = cheapest(roster, now_ms, |_, member| allowed(member).then_some(0.0)) {
        return Ok(index);
    }
    match roster.candidates(now_ms).next() {
        Some(_) => Err(NoRoute::AllBehind),
        None => Err(NoRoute::NobodyAvailable),
    }
}

/// The CSP waits for the position itself, so a copy in step will do: heartbeats are too slow to prove the newest positions,
/// and insisting on proof would pile all sessions upon whoever reported last. If nobody is in step, the one that is nearest.
fn for_session(roster: &Roster, after: u64, now_ms: u64) -> Result<CspIndex, NoRoute> {
    let surcharge = |_: CspIndex, member: &Member| {
        if member.applied() >= after {
            return Some(0.0);
        }
        let in_step = member.lag_ms().is_some_and(|lag| lag <= roster.in_step_ms());
        in_step.then_some(UNPROVEN_SURCHARGE)
    };
    cheapest(roster, now_ms, surcharge)
        .or_else(|| roster.candidates(now_ms).max_by_key(|(_, member)| member.applied()).map(|(index, _)| index))
        .ok_or(NoRoute::NobodyAvailable)
}

fn for_strong(roster: &Roster, now_ms: u64) -> Result<CspIndex, NoRoute> {
    let no_detour = |index: CspIndex| roster.replication() == Replication::Peer || roster.primary() == Some(index);
    cheapest(roster, now_ms, |index, _| Some(if no_detour(index) { 0.0 } else { DETOUR_SURCHARGE }))
        .ok_or(NoRoute::NobodyAvailable)
}

/// The available CSP with the least load plus surcharge; `None` from `surcharge` excludes it. Of equals the first in turn.
fn cheapest(roster: &Roster, now_ms: u64, surcharge: impl Fn(CspIndex, &Member) -> Option<f64>) -> Option<CspIndex> {
    let mut best: Option<(f64, CspIndex)> = None;
    for (index, member) in roster.candidates(now_ms) {
        let Some(extra) = surcharge(index, member) else {
            continue;
        };
        let cost = member.load(now_ms) + extra;
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, index));
        }
    }
    best.map(|(_, index)| index)
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
