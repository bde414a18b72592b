//! When to ask a CSP whether it is still there.
//!
//! Knocking on the door: not while somebody comes out of it, not before the visitor inside has been there for a while, and
//! never with two hands. No answer means nothing, a slow host is no dead host; only a neighbour who says that the house is
//! empty ("no responders") settles it. A visitor who came to stay is worth one knock, to learn that somebody let him in.

/// What an earlier question came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It answered, or nobody did in time.
    Unsettled,
    /// Nobody listens there.
    NoResponders,
}

/// The questions to one CSP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Probe {
    open: Option<u64>,
    /// When there was the last sign of life, or the last question.
    quiet_since_ms: u64,
}

impl Probe {
    /// The CSP was heard of.
    pub fn sign_of_life(&mut self, now_ms: u64) {
        self.quiet_since_ms = now_ms;
    }

    /// Whether to ask now, when the oldest open request went there at `oldest_ms`.
    pub fn is_due(&self, oldest_ms: u64, after_ms: u64, now_ms: u64) -> bool {
        self.open.is_none() && now_ms.saturating_sub(oldest_ms.max(self.quiet_since_ms)) >= after_ms
    }

    /// Whether nothing was heard of the CSP, and nothing asked, since then.
    pub fn is_quiet_since(&self, since_ms: u64) -> bool {
        self.quiet_since_ms <= since_ms
    }

    /// The question is on its way.
    pub fn asked(&mut self, question: u64, now_ms: u64) {
        *self = Self { open: Some(question), quiet_since_ms: now_ms };
    }

    /// Its outcome came. False if it is not the open one: then it speaks of another process.
    pub fn settled(&mut self, question: u64) -> bool {
        let is_open = self.open == Some(question);
        if is_open {
            self.open = None;
        }
        is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_after_a_while_one_question_at_a_time() {
        let mut probe = Probe::default();
        assert!(!probe.is_due(100, 25, 124));
        assert!(probe.is_due(100, 25, 125));
        probe.sign_of_life(120);
        assert!(!probe.is_due(100, 25, 144));
        assert!(probe.is_due(100, 25, 145));
        probe.asked(7, 145);
        assert!(!probe.is_due(100, 25, 1_000), "one is open");
        assert!(!probe.settled(6));
        assert!(probe.settled(7));
        assert!(!probe.settled(7));
        assert!(!probe.is_due(100, 25, 169));
        assert!(probe.is_due(100, 25, 170));
    }

    #[test]
    fn it_is_quiet_until_somebody_says_or_asks_something() {
        let mut probe = Probe::default();
        assert!(probe.is_quiet_since(0));
        probe.sign_of_life(100);
        assert!(!probe.is_quiet_since(99));
        assert!(probe.is_quiet_since(100));
        probe.asked(1, 125);
        assert!(!probe.is_quiet_since(100));
    }
}
