//! What the models say to the edges: about whom, what to do, and what to write down.

use holdfast_schemas::message::{CspState, CspStateChange, Doubt};
use std::collections::{BTreeMap, BTreeSet};

/// For how long a suspicion of one that reports is respected by a supervisor that does not share it. Then whoever wrote it, and
/// may be gone, is overruled.
const RESPECTED_MS: u64 = 60_000;

/// A CSP by its full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CspKey {
    /// The group.
    pub group: String,
    /// The CSP in it.
    pub csp: String,
}

/// What the edges have to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a status request; report back with the same number.
    Ask {
        /// Whom.
        key: CspKey,
        /// Which question this is; answers to older ones are void.
        question: u64,
        /// How long the answer is awaited.
        timeout_ms: u64,
    },
    /// Tell the other supervisors at once whom we hold for gone.
    Speak,
    /// Write a state down.
    Record(Decision),
    /// Tell the events of these after all, if they were held back: it was not their node.
    Release(Vec<CspKey>),
    /// Tell of a node.
    Node(NodeDecision),
}

/// What a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The CSP reports.
    Life,
    /// The CSP is silent.
    Silence,
    /// It reports what it reported before: said again, in case that somebody else wrote something else.
    Repetition,
}

/// A CSP is in this state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Which.
    pub key: CspKey,
    /// Its state.
    pub state: CspState,
    /// Why, in words.
    pub cause: String,
    /// Why it is suspect, if it is.
    pub doubt: Option<Doubt>,
    /// Whether nobody listens there, for a verdict.
    pub deserted: bool,
    /// The process that is meant; none if none was ever heard of.
    pub incarnation: Option<String>,
    /// What was observed.
    pub evidence: Vec<String>,
    /// The supervisors that concurred, for a verdict.
    pub concurring: Vec<String>,
    /// What it rests on.
    pub basis: Basis,
    /// Its event waits until it is known whether it was the node.
    pub held: bool,
}

impl Decision {
    /// Whether it is written over what is written. Supervisors look at different moments, so a decision may be older than
    /// what it finds: the suspicion of a slower one says less than the verdict of a faster one, and a mere repetition does
    /// not lift a suspicion that somebody holds for a reason.
    pub fn replaces(&self, written: &CspStateChange, now_ms: u64) -> bool {
        let differs = self.state != written.state;
        let reasoned = matches!(written.doubt, Some(Doubt::Gray | Doubt::Flapping));
        match self.basis {
            Basis::Life => differs || (self.state == CspState::Suspect && !reasoned),
            Basis::Silence => differs && (written.state, self.state) != (CspState::Unavailable, CspState::Suspect),
            Basis::Repetition => {
                let other_process = self.incarnation.is_some() && self.incarnation != written.incarnation;
                let respected = reasoned && now_ms.saturating_sub(written.since_ms) < RESPECTED_MS;
                other_process || (differs && !respected)
            }
        }
    }

    /// As it stands in the bucket and in the event.
    pub fn change(&self, since_ms: u64) -> CspStateChange {
        CspStateChange {
            group: self.key.group.clone(),
            csp: self.key.csp.clone(),
            state: self.state,
            since_ms,
            cause: self.cause.clone(),
            doubt: self.doubt,
            deserted: self.deserted,
            incarnation: self.incarnation.clone(),
            evidence: self.evidence.clone(),
            concurring: self.concurring.clone(),
        }
    }
}

/// A node is gone, or is back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDecision {
    /// Which.
    pub node: String,
    /// Whether it is there.
    pub available: bool,
    /// The CSPs on it, by group.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Those of them where nobody listens.
    pub deserted: BTreeSet<CspKey>,
    /// Why, in words.
    pub cause: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(state: CspState, basis: Basis) -> Decision {
        Decision {
            key: CspKey { group: "g".to_owned(), csp: "a".to_owned() },
            state,
            cause: String::new(),
            doubt: None,
            deserted: false,
            incarnation: Some("1".to_owned()),
            evidence: Vec::new(),
            concurring: Vec::new(),
            basis,
            held: false,
        }
    }

    fn written(state: CspState) -> CspStateChange {
        decision(state, Basis::Life).change(1_000)
    }

    fn doubted(doubt: Doubt) -> CspStateChange {
        CspStateChange { doubt: Some(doubt), ..written(CspState::Suspect) }
    }

    #[test]
    fn a_verdict_is_undone_by_life_only() {
        let verdict = written(CspState::Unavailable);
        assert!(!decision(CspState::Suspect, Basis::Silence).replaces(&verdict, 1_000));
        assert!(decision(CspState::Suspect, Basis::Life).replaces(&verdict, 1_000), "it is back, and flapping");
        assert!(decision(CspState::Available, Basis::Life).replaces(&verdict, 1_000));
        assert!(decision(CspState::Available, Basis::Repetition).replaces(&verdict, 1_000));
        assert!(!decision(CspState::Unavailable, Basis::Silence).replaces(&verdict, 1_000));
        let available = written(CspState::Available);
        assert!(decision(CspState::Unavailable, Basis::Silence).replaces(&available, 1_000));
    }

    #[test]
    fn a_repetition_respects_a_reason_for_a_while() {
        let again = decision(CspState::Available, Basis::Repetition);
        assert!(again.replaces(&doubted(Doubt::Silent), 1_000));
        assert!(again.replaces(&written(CspState::Suspect), 1_000), "nobody said why");
        let gray = doubted(Doubt::Gray);
        assert!(!again.replaces(&gray, 2_000));
        assert!(again.replaces(&gray, 1_000 + RESPECTED_MS));
        assert!(decision(CspState::Available, Basis::Life).replaces(&gray, 2_000));
    }

    #[test]
    fn a_reason_replaces_a_suspicion_by_silence_and_not_another_reason() {
        let flapping = decision(CspState::Suspect, Basis::Life);
        assert!(flapping.replaces(&doubted(Doubt::Silent), 1_000));
        assert!(!flapping.replaces(&doubted(Doubt::Gray), 1_000));
    }

    #[test]
    fn a_repetition_names_the_new_process() {
        let again = Decision { incarnation: Some("2".to_owned()), ..decision(CspState::Available, Basis::Repetition) };
        assert!(again.replaces(&written(CspState::Available), 1_000));
        let same = decision(CspState::Available, Basis::Repetition);
        assert!(!same.replaces(&written(CspState::Available), 1_000));
    }
}
