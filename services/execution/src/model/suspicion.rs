//! Does a request kill whoever works on it? CSPs that were lost while they had it, and what became of those.
//!
//! A bottle from which two guests drank and fell: nobody is given the third glass. One may have fainted for another reason, so it
//! takes two, and both must be certain: a CSP that is heard again has only been away. Until that is known the bottle stays closed.

use super::roster::CspIndex;

/// As many ends of CSPs condemn a request.
const ENDS_MAX: usize = 2;

/// A process that was lost while it had the request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Loss {
    csp: CspIndex,
    incarnation: Box<str>,
    is_certain: bool,
}

/// What is to be done with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// It may go to a CSP.
    None,
    /// It waits until it is known whether the CSPs that had it are gone.
    Open,
    /// It is given to nobody to be carried out.
    Certain,
}

/// The processes that were lost with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses(Vec<Loss>);

impl Losses {
    /// A process was lost, for certain or perhaps.
    pub fn note(&mut self, csp: CspIndex, incarnation: &str, is_certain: bool) {
        match self.find(csp, incarnation) {
            Some(loss) => loss.is_certain |= is_certain,
            None => self.0.push(Loss { csp, incarnation: incarnation.into(), is_certain }),
        }
    }

    /// If the process is among them, it is gone for certain.
    pub fn confirm(&mut self, csp: CspIndex, incarnation: &str) {
        if let Some(loss) = self.find(csp, incarnation) {
            loss.is_certain = true;
        }
    }

    /// The process lives: it has only been away.
    pub fn refute(&mut self, csp: CspIndex, incarnation: &str) {
        self.0.retain(|loss| loss.csp != csp || *loss.incarnation != *incarnation);
    }

    /// What is to be done with the request.
    #[must_use]
    pub fn suspicion(&self) -> Suspicion {
        let certain = self.0.iter().filter(|loss| loss.is_certain).count();
        match (certain, self.0.len()) {
            (certain, _) if certain >= ENDS_MAX => Suspicion::Certain,
            (_, all) if all >= ENDS_MAX => Suspicion::Open,
            _ => Suspicion::None,
        }
    }

    fn find(&mut self, csp: CspIndex, incarnation: &str) -> Option<&mut Loss> {
        self.0.iter_mut().find(|loss| loss.csp == csp && *loss.incarnation == *incarnation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_different_processes_that_are_gone_for_certain_condemn_a_request() {
        let mut losses = Losses::default();
        losses.note(CspIndex(0), "1", false);
        losses.note(CspIndex(0), "1", true);
        assert_eq!(losses.suspicion(), Suspicion::None, "one process, however often it is said");
        losses.note(CspIndex(1), "1", false);
        assert_eq!(losses.suspicion(), Suspicion::Open);
        losses.refute(CspIndex(1), "1");
        assert_eq!(losses.suspicion(), Suspicion::None);
        losses.note(CspIndex(0), "2", false);
        losses.confirm(CspIndex(0), "3");
        assert_eq!(losses.suspicion(), Suspicion::Open);
        losses.confirm(CspIndex(0), "2");
        assert_eq!(losses.suspicion(), Suspicion::Certain, "the same name, started anew");
    }
}
