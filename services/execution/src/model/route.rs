//! Which CSP gets a request.
//!
//! Two rules that nothing overrides: a CSP that is neither available nor drains is never chosen, and an update of a primary group
//! goes to the primary or nowhere. One that drains gets queries only while nobody in the group is available. Among those that
//! remain the cheapest wins, where the cost is the load, plus a surcharge in the same unit (waiting requests) where the CSP would
//! first have to wait for its copy or ask somebody, times what a request weighs there. With an affinity key it is not the cheapest
//! but the one that the key falls to: every pair of key and CSP has a number of its own, and the highest wins, so a key moves only
//! if its CSP goes or a new one draws a higher number.
//! CSPs that supervision doubts come behind all others.
//!
//! Where all CSPs that are there were set aside because the log is lost, what needs no log goes to one of them all the same, as
//! of where it stands, and everything else is refused at once: waiting would not help. Pools and the bounds of a CSP hold then, too.
//!
//! A query that names a pool goes to the CSPs of that pool by the same rules, and beyond it only if the pool overflows and none
//! of its CSPs takes queries. Too late, too full or avoided for a moment is available still: it waits for them.

use super::member::Member;
use super::pools::PoolIndex;
use super::roster::{CspIndex, Roster};
use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::Replication;
use std::cmp::Reverse;

/// A copy in step that is not known to have reached the position costs as much as one request more in its queue.
const UNPROVEN_SURCHARGE: f64 = 1.0;
/// A copy other than the primary has to learn the end of the log before it may answer a strong query.
const DETOUR_SURCHARGE: f64 = 4.0;

/// What a request demands of the CSP that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A transaction that writes.
    Update,
    /// A lock that is waited for, which is an update that may stand at its CSP for as long as somebody else holds the lock.
    /// How long it takes says nothing of the CSP, and it costs nothing while it stands there.
    Turn,
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

impl Need {
    /// Whether the request may write.
    pub fn is_update(self) -> bool {
        matches!(self, Self::Update | Self::Turn)
    }
}

/// What is asked of the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// What the CSP has to fulfil.
    pub need: Need,
    /// Requests with the same value go to the same CSP.
    pub affinity: Option<u64>,
    /// The pool whose CSPs may take it.
    pub pool: Option<PoolIndex>,
    /// A CSP that gave the request back a moment ago.
    pub avoided: Option<CspIndex>,
    /// The CSP that holds the transaction which the message belongs to. Nobody else has it, so the message goes there for as
    /// long as the CSP is not judged to be gone, however late or doubted it is.
    pub holder: Option<CspIndex>,
}

impl From<Need> for Demand {
    fn from(need: Need) -> Self {
        Self { need, affinity: None, pool: None, avoided: None, holder: None }
    }
}

/// Why nobody can be chosen now. Each may pass by waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// No heartbeat has named a primary of this group's definition.
    #[error("no primary is known")]
    PrimaryUnknown,
    /// The primary is known and does not serve now.
    #[error("the primary is not available")]
    PrimaryUnavailable(CspIndex),
    /// No CSP serves now.
    #[error("no CSP is available")]
    NobodyAvailable,
    /// No CSP of the pool that the query names serves now, and no other may take it.
    #[error("no CSP of the pool is available")]
    PoolUnavailable(PoolIndex),
    /// CSPs serve, and all are later than the reader allows.
    #[error("every available CSP that may take it is further behind than max_lag_ms allows")]
    AllBehind,
    /// Those that could take it have as many requests as they may have.
    #[error("every CSP that may take it has too many requests already")]
    AllFull,
    /// The log is lost, or is not the group's, as this CSP says.
    #[error("no update is taken, and no query that needs the log")]
    LogRefuses {
        /// The CSP that says why.
        csp: CspIndex,
        /// In one word.
        code: ErrorCode,
    },
    /// No update window is open, and one opens in time.
    #[error("no update window is open")]
    OutsideWindow,
}

/// Chooses among what the roster knows at `now_ms`.
pub fn choose(roster: &Roster, demand: Demand, now_ms: u64) -> Result<CspIndex, NoRoute> {
    if let Some(holder) = demand.holder.filter(|holder| demand.avoided != Some(*holder)) {
        match roster.member(holder) {
            Some(member) if !member.is_condemned() => return Ok(holder),
            // Gone, and its transactions with it: whoever may write tells from the log what became of this one.
            Some(_) => {}
            // Not heard of yet; its first heartbeat tells.
            None => return Err(NoRoute::NobodyAvailable),
        }
    }
    let found = match demand.need {
        Need::Update | Need::Turn => for_update(roster, demand, now_ms),
        Need::Any { max_lag_ms } => for_any(roster, demand, max_lag_ms, now_ms),
        Need::Session { after } => for_session(roster, demand, after, now_ms),
        Need::Strong => for_strong(roster, demand, now_ms),
    };
    found.or_else(|reason| without_log(roster, demand, reason, now_ms))
}

/// What becomes of a request that nobody can take, when that is because the log is lost.
fn without_log(roster: &Roster, demand: Demand, reason: NoRoute, now_ms: u64) -> Result<CspIndex, NoRoute> {
    let reaches = |member: &Member| match demand.need {
        Need::Any { max_lag_ms } => max_lag_ms.is_none(),
        Need::Session { after } => after <= member.applied(),
        Need::Update | Need::Turn | Need::Strong => false,
    };
    let bound = bound(roster, demand, now_ms);
    let is_of_pool = |csp| bound.is_none_or(|pool| roster.pools().has(pool, csp));
    let takers = || {
        let others = roster.parted(now_ms).filter(|(index, _)| demand.avoided != Some(*index));
        others.filter(|(index, member)| is_of_pool(*index) && reaches(member))
    };
    let farthest = takers()
        .filter(|(_, member)| !roster.is_full(member, demand.need))
        .max_by_key(|(index, member)| (member.applied(), Reverse(member.open()), *index));
    if let Some((index, _)) = farthest {
        return Ok(index);
    }
    if takers().next().is_some() {
        return Err(NoRoute::AllFull);
    }
    // The one that it is to avoid for a moment takes it behind that.
    if roster.parted(now_ms).any(|(index, member)| is_of_pool(index) && reaches(member)) {
        return Err(reason);
    }
    // One of its pool may come that takes it.
    let needs_no_log = roster.parted(now_ms).any(|(_, member)| reaches(member));
    if needs_no_log && !roster.parted(now_ms).any(|(index, _)| is_of_pool(index)) {
        return Err(reason);
    }
    let mut words = roster.parted(now_ms).filter_map(|(csp, member)| Some((csp, member.parted()?.code)));
    Err(words.next().map_or(reason, |(csp, code)| NoRoute::LogRefuses { csp, code }))
}

fn for_update(roster: &Roster, demand: Demand, now_ms: u64) -> Result<CspIndex, NoRoute> {
    if roster.replication() == Replication::Peer {
        // Not one that drains: with ever new updates it would never be done.
        return best(roster, demand, now_ms, |csp, _| roster.available(csp, now_ms).then_some(0.0));
    }
    let primary = roster.primary().ok_or(NoRoute::PrimaryUnknown)?;
    if !roster.carries_out(primary, now_ms) || demand.avoided == Some(primary) {
        return Err(NoRoute::PrimaryUnavailable(primary));
    }
    match roster.member(primary) {
        Some(member) if roster.is_full(member, demand.need) => Err(NoRoute::AllFull),
        Some(_) | None => Ok(primary),
    }
}

fn for_any(roster: &Roster, demand: Demand, max_lag_ms: Option<u64>, now_ms: u64) -> Result<CspIndex, NoRoute> {
    let allowed = |member: &Member| match (max_lag_ms, member.lag_ms()) {
        (None, _) => true,
        (Some(bound), Some(lag)) => lag <= bound,
        (Some(_), None) => false,
    };
    let found = best(roster, demand, now_ms, |_, member| allowed(member).then_some(0.0));
    match found {
        Err(NoRoute::NobodyAvailable | NoRoute::PoolUnavailable(_))
            if others(roster, demand, now_ms).next().is_some() =>
        {
            Err(NoRoute::AllBehind)
        }
        found => found,
    }
}

/// The CSP waits for the position itself, so a copy in step will do: heartbeats are too slow to prove the newest positions,
/// and insisting on proof would pile all sessions upon whoever reported last. If nobody is in step, the one that is nearest.
fn for_session(roster: &Roster, demand: Demand, after: u64, now_ms: u64) -> Result<CspIndex, NoRoute> {
    let surcharge = |_: CspIndex, member: &Member| {
        if member.applied() >= after {
            return Some(0.0);
        }
        let in_step = member.lag_ms().is_some_and(|lag| lag <= roster.in_step_ms());
        in_step.then_some(UNPROVEN_SURCHARGE)
    };
    let nearest = || {
        let open = others(roster, demand, now_ms).filter(|(_, member)| !roster.is_full(member, demand.need));
        open.max_by_key(|(_, member)| member.applied()).map(|(index, _)| index)
    };
    best(roster, demand, now_ms, surcharge).or_else(|reason| nearest().ok_or(reason))
}

fn for_strong(roster: &Roster, demand: Demand, now_ms: u64) -> Result<CspIndex, NoRoute> {
    let no_detour = |index: CspIndex| roster.replication() == Replication::Peer || roster.primary() == Some(index);
    best(roster, demand, now_ms, |index, _| Some(if no_detour(index) { 0.0 } else { DETOUR_SURCHARGE }))
}

/// Everybody who serves and may take it, but for the one to avoid.
fn others(roster: &Roster, demand: Demand, now_ms: u64) -> impl Iterator<Item = (CspIndex, &Member)> {
    let bound = bound(roster, demand, now_ms);
    let may_take = move |csp| demand.avoided != Some(csp) && bound.is_none_or(|pool| roster.pools().has(pool, csp));
    roster.candidates(now_ms).filter(move |(index, _)| may_take(*index))
}

/// The pool beyond which the request may not go now.
fn bound(roster: &Roster, demand: Demand, now_ms: u64) -> Option<PoolIndex> {
    // Where the log is lost, those that were set aside because of that take what needs no log.
    let takes = || roster.candidates(now_ms).chain(roster.parted(now_ms));
    let serves = |pool| takes().any(|(index, _)| roster.pools().has(pool, index));
    demand.pool.filter(|pool| !roster.pools().overflows(*pool) || serves(*pool))
}

/// The CSP of the best rank among the candidates; `None` from `surcharge` excludes it. Of equals the first in turn.
fn best(
    roster: &Roster,
    demand: Demand,
    now_ms: u64,
    surcharge: impl Fn(CspIndex, &Member) -> Option<f64>,
) -> Result<CspIndex, NoRoute> {
    let mut best: Option<((bool, f64), CspIndex)> = None;
    let mut reason = bound(roster, demand, now_ms).map_or(NoRoute::NobodyAvailable, NoRoute::PoolUnavailable);
    for (index, member) in others(roster, demand, now_ms) {
        let Some(extra) = surcharge(index, member) else {
            continue;
        };
        if roster.is_full(member, demand.need) {
            reason = NoRoute::AllFull;
            continue;
        }
        let cost = match demand.affinity {
            Some(key) => -draw(key, roster.name(index)),
            None => cost(member, demand.need, extra),
        };
        let rank = (member.is_doubted(), cost);
        if best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, index));
        }
    }
    best.map(|(_, index)| index).ok_or(reason)
}

fn cost(member: &Member, need: Need, surcharge: f64) -> f64 {
    let time = if need.is_update() { &member.updates } else { &member.queries };
    (member.load() + 1.0 + surcharge) * time.weight()
}

/// The number that this pair has in every instance.
fn draw(key: u64, csp: &str) -> f64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(csp.as_bytes(), key) as f64
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
