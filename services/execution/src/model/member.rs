//! One CSP as execution sees it: what its last heartbeat said, and what was sent to it since.
//!
//! Load is "outstanding in the last heartbeat + forwarded by us since - what it has probably answered since". Without the
//! last part the CSP that reported a moment ago would look empty beside those that report later, and every heartbeat would
//! draw a burst upon its sender. The speed of answering is taken from the interval before: what we sent, plus what became
//! less in between.

use holdfast_schemas::message::CspState;

/// What a heartbeat says that routing needs.
#[derive(Debug, Clone)]
pub struct Report {
    /// The process behind the name; another one has none of the requests of the one before.
    pub incarnation: String,
    /// As the CSP sees itself.
    pub state: CspState,
    /// Position that its copy reflects.
    pub applied: u64,
    /// Newest position that it knows of.
    pub log_end: u64,
    /// Epoch that it has applied.
    pub epoch: u64,
    /// The primary of that epoch.
    pub primary: Option<String>,
    /// Requests that it has taken and not answered.
    pub outstanding: u32,
}

/// What is known of one CSP.
#[derive(Debug, Clone)]
pub struct Member {
    pub(super) incarnation: String,
    pub(super) state: CspState,
    pub(super) applied: u64,
    pub(super) lag_ms: Option<u64>,
    pub(super) heard_at_ms: u64,
    outstanding: u32,
    forwarded: u32,
    answered_per_ms: f64,
}

impl Member {
    /// A CSP that was not known before, or a new process behind a known name.
    pub fn new(report: &Report, lag_ms: Option<u64>, now_ms: u64) -> Self {
        Self {
            incarnation: report.incarnation.clone(),
            state: report.state,
            applied: report.applied,
            lag_ms,
            heard_at_ms: now_ms,
            outstanding: report.outstanding,
            forwarded: 0,
            answered_per_ms: 0.0,
        }
    }

    /// The next heartbeat of the same process.
    pub fn update(&mut self, report: &Report, lag_ms: Option<u64>, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.heard_at_ms);
        if elapsed_ms > 0 {
            let sent = f64::from(self.outstanding) + f64::from(self.forwarded);
            let answered = (sent - f64::from(report.outstanding)).max(0.0);
            self.answered_per_ms = answered / elapsed_ms as f64;
        }
        self.state = report.state;
        self.applied = report.applied;
        self.lag_ms = lag_ms;
        self.heard_at_ms = now_ms;
        self.outstanding = report.outstanding;
        self.forwarded = 0;
    }

    /// One more request went there.
    pub fn forwarded(&mut self) {
        self.forwarded = self.forwarded.saturating_add(1);
    }

    /// Requests that are probably waiting there.
    pub fn load(&self, now_ms: u64) -> f64 {
        let answered = self.answered_per_ms * now_ms.saturating_sub(self.heard_at_ms) as f64;
        (f64::from(self.outstanding) + f64::from(self.forwarded) - answered).max(0.0)
    }

    /// Says of itself that it serves, and said so lately.
    pub fn available(&self, now_ms: u64, fresh_ms: u64) -> bool {
        self.state == CspState::Available && now_ms.saturating_sub(self.heard_at_ms) <= fresh_ms
    }

    /// The state that it last reported.
    pub fn state(&self) -> CspState {
        self.state
    }

    /// The position that it last reported.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// How late its copy was at its last heartbeat.
    pub fn lag_ms(&self) -> Option<u64> {
        self.lag_ms
    }
}
