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

impl Loss {
    fn is_of(&self, csp: CspIndex, incarnation: &str) -> bool {
        self.csp == csp && *self.incarnation == *incarnation
    }
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
pub struct Losses {
    known: Vec<Loss>,
    /// One that has not said that it began, and until when that word is waited for.
    unsaid: Option<(Loss, u64)>,
}

impl Losses {
    /// A process was lost, for certain or perhaps.
    pub fn note(&mut self, csp: CspIndex, incarnation: &str, is_certain: bool) {
        match self.find(csp, incarnation) {
            Some(loss) => loss.is_certain |= is_certain,
            None => self.known.push(Loss { csp, incarnation: incarnation.into(), is_certain }),
        }
    }

    /// A process was lost that has not said that it began. Its word may have been overtaken by the news of its end, and is waited for
    /// where it would be one too many.
    pub fn note_unsaid(&mut self, csp: CspIndex, incarnation: &str, is_certain: bool, until_ms: u64) {
        if self.known.len() + 1 >= ENDS_MAX {
            self.unsaid = Some((Loss { csp, incarnation: incarnation.into(), is_certain }, until_ms));
        }
    }

    /// The process that was lost last had said that it began.
    pub fn said(&mut self) {
        if let Some((loss, _)) = self.unsaid.take() {
            self.note(loss.csp, &loss.incarnation, loss.is_certain);
        }
    }

    /// The request goes to another one: what was not said by now does not count.
    pub fn sent(&mut self) {
        self.unsaid = None;
    }

    /// Whether that word is waited for.
    #[must_use]
    pub fn awaits_word(&self, now_ms: u64) -> bool {
        self.unsaid.as_ref().is_some_and(|(_, until_ms)| now_ms < *until_ms)
    }

    /// If the process is among them, it is gone for certain.
    pub fn confirm(&mut self, csp: CspIndex, incarnation: &str) {
        if let Some(loss) = self.find(csp, incarnation) {
            loss.is_certain = true;
        }
        if let Some((loss, _)) = &mut self.unsaid {
            loss.is_certain |= loss.is_of(csp, incarnation);
        }
    }

    /// The process lives: it has only been away.
    pub fn refute(&mut self, csp: CspIndex, incarnation: &str) {
        self.known.retain(|loss| !loss.is_of(csp, incarnation));
        self.unsaid = self.unsaid.take().filter(|(loss, _)| !loss.is_of(csp, incarnation));
    }

    /// What is to be done with the request.
    #[must_use]
    pub fn suspicion(&self, now_ms: u64) -> Suspicion {
        let certain = self.known.iter().filter(|loss| loss.is_certain).count();
        match (certain, self.known.len()) {
            (certain, _) if certain >= ENDS_MAX => Suspicion::Certain,
            (_, all) if all >= ENDS_MAX || self.awaits_word(now_ms) => Suspicion::Open,
            _ => Suspicion::None,
        }
    }

    fn find(&mut self, csp: CspIndex, incarnation: &str) -> Option<&mut Loss> {
        self.known.iter_mut().find(|loss| loss.is_of(csp, incarnation))
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
        assert_eq!(losses.suspicion(0), Suspicion::None, "one process, however often it is said");
        losses.note(CspIndex(1), "1", false);
        assert_eq!(losses.suspicion(0), Suspicion::Open);
        losses.refute(CspIndex(1), "1");
        assert_eq!(losses.suspicion(0), Suspicion::None);
        losses.note(CspIndex(0), "2", false);
        losses.confirm(CspIndex(0), "3");
        assert_eq!(losses.suspicion(0), Suspicion::Open);
        losses.confirm(CspIndex(0), "2");
        assert_eq!(losses.suspicion(0), Suspicion::Certain, "the same name, started anew");
    }

    #[test]
    fn the_word_of_the_one_that_would_be_too_many_is_waited_for() {
        let mut losses = Losses::default();
        losses.note_unsaid(CspIndex(0), "1", true, 100);
        assert_eq!(losses.suspicion(0), Suspicion::None, "one holds nothing back");
        losses.note(CspIndex(0), "1", true);
        losses.note_unsaid(CspIndex(1), "1", false, 100);
        assert_eq!((losses.suspicion(99), losses.suspicion(100)), (Suspicion::Open, Suspicion::None));
        let mut refuted = losses.clone();
        refuted.refute(CspIndex(1), "1");
        assert_eq!(refuted.suspicion(0), Suspicion::None);
        losses.confirm(CspIndex(1), "1");
        let mut sent = losses.clone();
        sent.sent();
        sent.said();
        assert_eq!(sent.suspicion(0), Suspicion::None, "too late");
        losses.said();
        assert_eq!(losses.suspicion(100), Suspicion::Certain);
    }
}
