//! All that is known of one CSP, and the one state that comes of it.
//!
//! The detector says whether it lives. One that lives and says that it is available is still shown as suspect while it does not
//! work as it should, or has gone and come too often. Other states that it reports are its own word, and are shown as they are.

use super::council::Charge;
use super::damping::Damping;
use super::decision::{Basis, CspKey};
use super::detector::Detector;
use super::nodes::Resident;
use super::patience::Patience;
use super::table::Belief;
use holdfast_schemas::message::{CspState, Doubt};

/// The cause of a state that is said again.
const REASSERTED: &str = "reported by the CSP";

/// One CSP.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) detector: Detector,
    pub(super) damping: Damping,
    /// What is wrong with how it works.
    pub(super) complaint: Option<String>,
    /// Where it was last heard.
    pub(super) node: Option<String>,
    pub(super) status_timeout_ms: u64,
    /// Whether nobody listens there, by the last verdict on it.
    pub(super) deserted: bool,
    told: Option<CspState>,
    /// Whether it is shown as suspect although it reports that it is available.
    masked: bool,
    unavailable_since_ms: Option<u64>,
}

/// Why one that reports that it is available is shown as suspect.
#[derive(Debug)]
struct Mask {
    doubt: Doubt,
    reason: String,
}

impl Mask {
    fn cause(&self) -> String {
        format!("{}: {}", self.doubt, self.reason)
    }
}

/// A state with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) state: CspState,
    pub(super) cause: String,
    pub(super) doubt: Option<Doubt>,
    pub(super) basis: Basis,
    /// The state that was told before.
    pub(super) before: Option<CspState>,
}

impl Watched {
    pub(super) fn new(patience: &Patience, now_ms: u64) -> Self {
        Self {
            detector: Detector::new(patience.detector, now_ms),
            damping: Damping::new(patience.damping),
            complaint: None,
            node: None,
            status_timeout_ms: patience.status_timeout_ms,
            deserted: false,
            told: None,
            masked: false,
            unavailable_since_ms: None,
        }
    }

    /// Its group's policy is this from now on.
    pub(super) fn adopt(&mut self, patience: &Patience, now_ms: u64) {
        self.detector.adopt(patience.detector, now_ms);
        self.damping.adopt(patience.damping);
        self.status_timeout_ms = patience.status_timeout_ms;
    }

    /// What we accuse it of, if we do.
    pub(super) fn charge(&self) -> Option<Charge> {
        self.detector.is_accusing().then(|| Charge {
            incarnation: self.detector.incarnation().map(str::to_owned),
            evidence: self.detector.evidence().join("; "),
            deserted: self.detector.is_deserted(),
        })
    }

    /// The state, if it is another one than was told last.
    pub(super) fn news(&mut self, now_ms: u64) -> Option<Shown> {
        let state = self.detector.state()?;
        let mask = self.mask(state, now_ms);
        let was_masked = std::mem::replace(&mut self.masked, mask.is_some());
        let well_again = was_masked && mask.is_none() && state == CspState::Available;
        let (state, doubt, cause) = match mask {
            Some(mask) => (CspState::Suspect, Some(mask.doubt), mask.cause()),
            None if well_again => (state, None, "well again".to_owned()),
            None => (state, self.silence(state), self.detector.cause().to_owned()),
        };
        // A suspicion for another kind of reason is news too.
        if self.told == Some(state) && !(state == CspState::Suspect && self.masked && !was_masked) {
            return None;
        }
        let before = self.told.replace(state);
        self.unavailable_since_ms = (state == CspState::Unavailable).then_some(now_ms);
        Some(Shown { state, cause, doubt, basis: self.basis(), before })
    }

    /// What it reports, to be said again; nothing if it is silent, since silence is no evidence to insist on.
    pub(super) fn again(&mut self, now_ms: u64) -> Option<Shown> {
        if self.detector.belief() != Belief::Reporting || self.detector.is_late(now_ms) {
            return None;
        }
        let state = self.told?;
        let mask = self.mask(self.detector.state()?, now_ms);
        let doubt = mask.as_ref().map(|mask| mask.doubt);
        let cause = mask.map_or_else(|| REASSERTED.to_owned(), |mask| mask.cause());
        Some(Shown { state, cause, doubt, basis: Basis::Repetition, before: Some(state) })
    }

    /// How it stands among the CSPs of its node.
    pub(super) fn resident(&self, key: &CspKey) -> Resident {
        Resident {
            key: key.clone(),
            unavailable_since_ms: self.unavailable_since_ms,
            signed_at_ms: self.detector.signed_at_ms(),
        }
    }

    fn basis(&self) -> Basis {
        if self.detector.belief() == Belief::Reporting { Basis::Life } else { Basis::Silence }
    }

    /// The doubt of one that is suspect for its silence.
    fn silence(&self, state: CspState) -> Option<Doubt> {
        (state == CspState::Suspect && self.basis() == Basis::Silence).then_some(Doubt::Silent)
    }

    /// Why it is not shown as available although it says so.
    fn mask(&mut self, state: CspState, now_ms: u64) -> Option<Mask> {
        if state != CspState::Available {
            return None;
        }
        if self.damping.available(now_ms).is_some() {
            return Some(Mask { doubt: Doubt::Flapping, reason: self.damping.reason() });
        }
        self.complaint.clone().map(|reason| Mask { doubt: Doubt::Gray, reason })
    }
}
