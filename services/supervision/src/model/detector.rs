//! Watches one CSP: a pure algorithm that is told the time.
//!
//! Someone on night watch who calls out to a colleague only when the usual footsteps stop, and who, having dozed off
//! himself, does not blame the colleague for the silence. A gap in our own ticks (a paused process) or a lost connection is
//! our blindness and is never counted as the CSP's silence.
//!
//! Once unavailable, nothing is asked any more: the CSP comes back by its own heartbeat.

use super::table::{self, Belief, Signal};
use holdfast_schemas::message::CspState;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Silence that makes a CSP suspect.
    pub suspect_after_ms: u64,
    /// Status requests until the verdict.
    pub status_attempts: u32,
    /// Ticks farther apart than this mean that we were not running.
    pub blind_after_ms: u64,
}

/// What the edge has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a status request; report back with the same number.
    AskStatus {
        /// Which question this is; answers to older ones are void.
        question: u64,
    },
    /// The state of the CSP is another one now.
    Changed {
        /// The new state.
        state: CspState,
        /// Why.
        cause: &'static str,
    },
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

/// What is believed of one CSP, and since when.
#[derive(Debug)]
pub struct Detector {
    policy: Policy,
    belief: Belief,
    state: Option<CspState>,
    heard_at_ms: u64,
    ticked_at_ms: u64,
    question: u64,
    asking: bool,
    attempts: u32,
}

impl Detector {
    /// Begins to watch a CSP that has not been heard.
    pub fn new(policy: Policy, now_ms: u64) -> Self {
        Self {
            policy,
            belief: Belief::Unknown,
            state: None,
            heard_at_ms: now_ms,
            ticked_at_ms: now_ms,
            question: 0,
            asking: false,
            attempts: 0,
        }
    }

    /// A heartbeat came.
    pub fn heartbeat(&mut self, reported: CspState, now_ms: u64) -> Vec<Effect> {
        self.heard_at_ms = now_ms;
        self.close_question();
        self.signal(Signal::Heartbeat, reported)
    }

    /// Time passes. `connected` is whether we ourselves are connected.
    pub fn tick(&mut self, connected: bool, now_ms: u64) -> Vec<Effect> {
        let gap_ms = now_ms.saturating_sub(self.ticked_at_ms);
        self.ticked_at_ms = now_ms;
        if !connected || gap_ms > self.policy.blind_after_ms {
            self.heard_at_ms = now_ms;
            self.close_question();
            return Vec::new();
        }
        if now_ms.saturating_sub(self.heard_at_ms) < self.policy.suspect_after_ms {
            return Vec::new();
        }
        let mut effects = self.signal(Signal::HeartbeatsMissed, CspState::Suspect);
        if self.belief == Belief::Suspect && !self.asking {
            effects.push(self.ask());
        }
        effects
    }

    /// A status request ended.
    pub fn status(&mut self, question: u64, outcome: StatusOutcome, now_ms: u64) -> Vec<Effect> {
        if !self.asking || question != self.question {
            return Vec::new();
        }
        self.asking = false;
        match outcome {
            StatusOutcome::NotAsked => Vec::new(),
            StatusOutcome::Answered => {
                // It lives and its heartbeats do not arrive: it stays suspect, and is asked again after the next silence.
                self.attempts = 0;
                self.heard_at_ms = now_ms;
                self.signal(Signal::StatusAnswered, CspState::Suspect)
            }
            StatusOutcome::NoResponders => self.signal(Signal::NoResponders, CspState::Unavailable),
            StatusOutcome::Unanswered if self.attempts < self.policy.status_attempts => vec![self.ask()],
            StatusOutcome::Unanswered => self.signal(Signal::StatusUnanswered, CspState::Unavailable),
        }
    }

    /// The state as supervised; none as long as nothing is known.
    pub fn state(&self) -> Option<CspState> {
        self.state
    }

    /// What is believed.
    pub fn belief(&self) -> Belief {
        self.belief
    }

    fn ask(&mut self) -> Effect {
        self.question += 1;
        self.attempts += 1;
        self.asking = true;
        Effect::AskStatus { question: self.question }
    }

    fn close_question(&mut self) {
        self.asking = false;
        self.attempts = 0;
    }

    /// Follows the table; `state` is the CSP's state if the belief moves, or if it goes on reporting.
    fn signal(&mut self, signal: Signal, state: CspState) -> Vec<Effect> {
        let row = table::next(self.belief, signal);
        let moved = row.to != self.belief || signal == Signal::Heartbeat;
        self.belief = row.to;
        if !moved || self.state == Some(state) {
            return Vec::new();
        }
        self.state = Some(state);
        vec![Effect::Changed { state, cause: row.cause }]
    }
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
