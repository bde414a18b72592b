//! Tells the end of a node from the end of its CSPs.
//!
//! When all the lights of a house go out together, it is the house. A verdict on one CSP of a node holds its event back for a
//! moment, until the others of the node have been judged or have given a sign of life. If all went within the window, one
//! event tells of the node, and those of the CSPs are not told. The node's own agent, where there is one, has the last word:
//! while it speaks the node is there; and where a node has a single CSP, only its silence makes it the node.
//!
//! Nothing but events depends on this. The state of each CSP is written at once in any case.

use super::decision::CspKey;
use std::collections::{BTreeMap, BTreeSet};

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How far apart verdicts may be that are one.
    pub window_ms: u64,
    /// An agent that was silent for this long is gone.
    pub agent_lost_ms: u64,
}

/// One CSP of a node.
#[derive(Debug, Clone)]
pub struct Resident {
    /// Which.
    pub key: CspKey,
    /// Since when it is unavailable, if it is.
    pub unavailable_since_ms: Option<u64>,
    /// Its last sign of life.
    pub signed_at_ms: Option<u64>,
}

/// What turned out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was these CSPs and not their node.
    Csps(Vec<CspKey>),
    /// The node is gone, with these CSPs.
    Gone(Vec<CspKey>),
    /// The node is back.
    Back {
        /// The CSPs with which it went.
        csps: Vec<CspKey>,
        /// Who was heard.
        cause: &'static str,
    },
}

#[derive(Debug)]
struct Pending {
    first_ms: u64,
    last_ms: u64,
    held: BTreeSet<CspKey>,
}

#[derive(Debug)]
struct Gone {
    since_ms: u64,
    csps: Vec<CspKey>,
}

/// All nodes of which anything is known.
#[derive(Debug)]
pub struct Nodes {
    policy: Policy,
    agents: BTreeMap<String, u64>,
    pending: BTreeMap<String, Pending>,
    gone: BTreeMap<String, Gone>,
}

impl Nodes {
    /// No nodes yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, agents: BTreeMap::new(), pending: BTreeMap::new(), gone: BTreeMap::new() }
    }

    /// The agent of a node spoke.
    pub fn alive(&mut self, node: &str, now_ms: u64) {
        self.agents.insert(node.to_owned(), now_ms);
    }

    /// We see nothing: no agent's silence counts. One that is known to be gone has not spoken by that.
    pub fn blind(&mut self, now_ms: u64) {
        let there = self.agents.iter_mut().filter(|(node, _)| !self.gone.contains_key(*node));
        there.for_each(|(_, heard_at_ms)| *heard_at_ms = now_ms);
    }

    /// Whether something may turn out about this node.
    pub fn is_open(&self, node: &str) -> bool {
        self.pending.contains_key(node) || self.gone.contains_key(node)
    }

    /// There was a verdict on a CSP of this node. Whether its event has to wait.
    pub fn condemned(&mut self, node: &str, key: &CspKey, residents: &[Resident], now_ms: u64) -> bool {
        if residents.len() < 2 && !self.agents.contains_key(node) {
            return false;
        }
        let pending = self.pending.entry(node.to_owned());
        let pending = pending.or_insert(Pending { first_ms: now_ms, last_ms: now_ms, held: BTreeSet::new() });
        pending.last_ms = now_ms;
        pending.held.insert(key.clone());
        true
    }

    /// The nodes about which something may turn out.
    pub fn open(&self) -> Vec<String> {
        self.pending.keys().chain(self.gone.keys()).cloned().collect()
    }

    /// What has turned out about a node by now, if anything has.
    pub fn settle(&mut self, node: &str, residents: &[Resident], now_ms: u64) -> Option<Outcome> {
        self.back(node, residents).or_else(|| self.judge(node, residents, now_ms))
    }

    fn back(&mut self, node: &str, residents: &[Resident]) -> Option<Outcome> {
        let since_ms = self.gone.get(node)?.since_ms;
        let agent = self.agents.get(node).is_some_and(|heard_at_ms| *heard_at_ms > since_ms);
        let csp = residents.iter().any(|resident| resident.unavailable_since_ms.is_none());
        let cause = match (csp, agent) {
            (true, _) => "a CSP of it reports again",
            (false, true) => "its agent speaks again",
            (false, false) => return None,
        };
        self.gone.remove(node).map(|gone| Outcome::Back { csps: gone.csps, cause })
    }

    fn judge(&mut self, node: &str, residents: &[Resident], now_ms: u64) -> Option<Outcome> {
        let pending = self.pending.get(node)?;
        let agent = self.agents.get(node).copied();
        let agent_lives = agent.is_some_and(|heard_at_ms| heard_at_ms > pending.last_ms);
        let csp_lives = residents.iter().any(|resident| {
            resident.unavailable_since_ms.is_none() && resident.signed_at_ms.is_some_and(|at| at >= pending.first_ms)
        });
        let agent_is_lost = agent.is_some_and(|at| now_ms.saturating_sub(at) >= self.policy.agent_lost_ms);
        let all_gone = residents.iter().all(|resident| resident.unavailable_since_ms.is_some());
        let nobody_to_wait_for = all_gone && agent.is_none();
        let waited_ms = now_ms.saturating_sub(pending.first_ms);
        let in_vain = waited_ms > self.policy.window_ms.max(self.policy.agent_lost_ms);
        if !(agent_lives || csp_lives || agent_is_lost && all_gone || nobody_to_wait_for || in_vain) {
            return None;
        }
        let held: Vec<_> = self.pending.remove(node)?.held.into_iter().collect();
        let is_node = all_gone && !agent_lives && !csp_lives && (agent_is_lost || agent.is_none() && held.len() > 1);
        if !is_node {
            return Some(Outcome::Csps(held));
        }
        self.gone.insert(node.to_owned(), Gone { since_ms: now_ms, csps: held.clone() });
        Some(Outcome::Gone(held))
    }
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
