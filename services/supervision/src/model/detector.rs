//! Watches one CSP: a pure algorithm that is told the time.
//!
//! Someone on night watch who calls out as soon as a footstep is late, and again when the footsteps stop; and who, having
//! dozed off himself, does not blame the colleague for the silence. One that is late is asked while it still counts as
//! reporting: if NATS then says that nobody listens, the process is gone, and no time was lost by waiting. A time-out says so
//! much less that it counts only once the heartbeats are missed.
//!
//! The early question is put only about a CSP that we have heard since we were last blind: after a restart of nats-server
//! everybody returns in some order, and who returns late is not gone.

use super::table::{self, Belief, Signal};
use holdfast_schemas::message::CspState;

/// Observations that are kept for a verdict.
const EVIDENCE_MAX: usize = 8;

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Silence after which a CSP is asked for its status.
    pub late_after_ms: u64,
    /// Silence that makes a CSP suspect.
    pub suspect_after_ms: u64,
    /// Status requests that must time out before an accusation.
    pub status_attempts: u64,
    /// Between two questions that others asked for.
    pub hint_pause_ms: u64,
}

/// How a status request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusOutcome {
    /// An answer came.
    Answered,
    /// No answer within the time.
    Unanswered,
    /// Nobody listens there.
    NoResponders,
    /// We could not ask: our own trouble, says nothing of the CSP.
    NotAsked,
}

/// The number of a question that is to be asked now.
pub type Question = Option<u64>;

/// What is believed of one CSP.
#[derive(Debug)]
pub struct Detector {
    policy: Policy,
    belief: Belief,
    state: Option<CspState>,
    cause: &'static str,
    incarnation: Option<String>,
    accusing: bool,
    accused_for: &'static str,
    /// Whether NATS said that nobody listens there, since its last sign of life.
    deserted: bool,
    evidence: Vec<String>,
    /// The last heartbeat, or the end of our last blindness.
    heard_at_ms: u64,
    /// The last sign of life.
    signed_at_ms: Option<u64>,
    /// The last sign of life, or the end of the last question.
    checked_at_ms: u64,
    heard_since_blind: bool,
    question: u64,
    asking: bool,
    asked_at_ms: Option<u64>,
    unanswered: u64,
}

impl Detector {
    /// Begins to watch a CSP that has not been heard.
    pub fn new(policy: Policy, now_ms: u64) -> Self {
        Self {
            policy,
            belief: Belief::Unknown,
            state: None,
            cause: "",
            incarnation: None,
            accusing: false,
            accused_for: "",
            deserted: false,
            evidence: Vec::new(),
            heard_at_ms: now_ms,
            signed_at_ms: None,
            checked_at_ms: now_ms,
            heard_since_blind: false,
            question: 0,
            asking: false,
            asked_at_ms: None,
            unanswered: 0,
        }
    }

    /// Another policy holds from now on. The silence until now was not measured for it, so it counts from zero.
    pub fn adopt(&mut self, policy: Policy, now_ms: u64) {
        if self.policy != policy {
            self.policy = policy;
            self.heard_at_ms = now_ms;
            self.checked_at_ms = now_ms;
        }
    }

    /// A heartbeat came.
    pub fn heartbeat(&mut self, reported: CspState, incarnation: &str, now_ms: u64) {
        if self.incarnation.as_deref() != Some(incarnation) {
            self.incarnation = Some(incarnation.to_owned());
        }
        self.heard_at_ms = now_ms;
        self.signed_at_ms = Some(now_ms);
        self.heard_since_blind = true;
        self.start_over(now_ms);
        self.evidence.clear();
        self.signal(Signal::Heartbeat, Some(reported));
    }

    /// Time passes, and we see.
    pub fn tick(&mut self, now_ms: u64) -> Question {
        if self.is_missed(now_ms) {
            if matches!(self.belief, Belief::Unknown | Belief::Reporting) {
                self.observe(self.silence(now_ms));
            }
            self.signal(Signal::HeartbeatsMissed, Some(CspState::Suspect));
        }
        let due = now_ms.saturating_sub(self.checked_at_ms) >= self.policy.late_after_ms;
        (due && self.may_ask(now_ms)).then(|| self.ask(now_ms))
    }

    /// We see nothing: silence counts from zero, and what we said about it is taken back.
    pub fn blind(&mut self, now_ms: u64) {
        self.heard_at_ms = now_ms;
        self.heard_since_blind = false;
        self.start_over(now_ms);
        self.signal(Signal::Blinded, Some(CspState::Suspect));
    }

    /// Somebody found nobody there.
    pub fn hint(&mut self, evidence: &str, now_ms: u64) -> Question {
        let rested = self.asked_at_ms.is_none_or(|at| now_ms.saturating_sub(at) >= self.policy.hint_pause_ms);
        if !rested || self.accusing || !self.heard_since_blind || !self.may_ask(now_ms) {
            return None;
        }
        self.observe(format!("told: {evidence}"));
        Some(self.ask(now_ms))
    }

    /// A status request ended.
    pub fn status(&mut self, question: u64, outcome: StatusOutcome, now_ms: u64) -> Question {
        if !self.asking || question != self.question {
            return None;
        }
        self.asking = false;
        self.checked_at_ms = now_ms;
        match outcome {
            StatusOutcome::NotAsked => {}
            StatusOutcome::Answered => {
                // It lives, and heartbeats may still not arrive: a suspect stays one, and is asked again after each silence.
                self.start_over(now_ms);
                self.signed_at_ms = Some(now_ms);
                self.signal(Signal::StatusAnswered, Some(CspState::Suspect));
            }
            StatusOutcome::NoResponders => {
                if self.belief == Belief::Reporting {
                    self.observe(self.silence(now_ms));
                }
                self.observe("nobody listens for status requests".to_owned());
                self.deserted = true;
                self.accuse(Signal::NoResponders);
            }
            StatusOutcome::Unanswered if self.is_missed(now_ms) => {
                self.unanswered += 1;
                if self.unanswered < self.policy.status_attempts {
                    return Some(self.ask(now_ms));
                }
                self.observe(format!("{} status requests went unanswered", self.unanswered));
                self.accuse(Signal::StatusUnanswered);
            }
            StatusOutcome::Unanswered => {}
        }
        None
    }

    /// A majority of the supervisors accuses this process.
    pub fn agreed(&mut self) {
        let accused = self.belief == Belief::Accused;
        self.signal(Signal::Agreed, Some(CspState::Unavailable));
        if accused {
            self.cause = self.accused_for;
        }
    }

    /// The state, leaving aside how well it works; none as long as nothing is known.
    pub fn state(&self) -> Option<CspState> {
        self.state
    }

    /// Why it is in that state.
    pub fn cause(&self) -> &'static str {
        self.cause
    }

    /// What is believed.
    pub fn belief(&self) -> Belief {
        self.belief
    }

    /// Whether we hold it for gone ourselves.
    pub fn is_accusing(&self) -> bool {
        self.accusing
    }

    /// Whether we hold it for gone because nobody listens there, and not for its silence alone.
    pub fn is_deserted(&self) -> bool {
        self.accusing && self.deserted
    }

    /// The process that was last heard.
    pub fn incarnation(&self) -> Option<&str> {
        self.incarnation.as_deref()
    }

    /// What was observed since its last heartbeat.
    pub fn evidence(&self) -> &[String] {
        &self.evidence
    }

    /// When it last gave a sign of life.
    pub fn signed_at_ms(&self) -> Option<u64> {
        self.signed_at_ms
    }

    /// Whether its next heartbeat is late.
    pub fn is_late(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.heard_at_ms) >= self.policy.late_after_ms
    }

    fn is_missed(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.heard_at_ms) >= self.policy.suspect_after_ms
    }

    /// One question at a time; and none about one that we hold for gone with the others: it comes back by its heartbeat.
    fn may_ask(&self, now_ms: u64) -> bool {
        let settled = self.accusing && self.belief == Belief::Unavailable;
        let allowed = self.heard_since_blind || self.is_missed(now_ms);
        !self.asking && !settled && allowed && self.belief != Belief::Unknown
    }

    fn ask(&mut self, now_ms: u64) -> u64 {
        self.question += 1;
        self.asking = true;
        self.asked_at_ms = Some(now_ms);
        self.question
    }

    fn start_over(&mut self, now_ms: u64) {
        self.asking = false;
        self.unanswered = 0;
        self.accusing = false;
        self.deserted = false;
        self.checked_at_ms = now_ms;
    }

    fn silence(&self, now_ms: u64) -> String {
        format!("no heartbeat for {} ms", now_ms.saturating_sub(self.heard_at_ms))
    }

    fn observe(&mut self, what: String) {
        if self.evidence.len() < EVIDENCE_MAX && self.evidence.last() != Some(&what) {
            self.evidence.push(what);
        }
    }

    /// We hold it for gone. One that reported a moment ago keeps its state until there is a verdict, or its heartbeats are
    /// missed: an accusation that a heartbeat takes back at once is nobody's business.
    fn accuse(&mut self, signal: Signal) {
        self.accusing = true;
        if let Some(row) = table::next(self.belief, signal) {
            self.accused_for = row.cause;
        }
        self.signal(signal, self.state);
    }

    /// Follows the table; `state` is the CSP's state in the row's belief.
    fn signal(&mut self, signal: Signal, state: Option<CspState>) {
        let Some(row) = table::next(self.belief, signal) else { return };
        if row.to != self.belief || self.state != state {
            self.cause = row.cause;
        }
        self.belief = row.to;
        self.state = state;
    }
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
