//! One CSP as execution sees it: what its last heartbeat said, what others say of it, and what is open there.
//!
//! Load is "our own requests that are open there" (known exactly, from the completion notes) + "those of other instances"
//! (what the CSP reported beyond ours). The second part is as old as the heartbeat, so half of the one before is kept: else
//! every instance would send a burst to whoever happened to report an empty queue. Requests that stand there for a lock are no
//! load: a CSP does nothing for them, and does not report them either.

use super::pace::Pace;
use super::probe::Probe;
use super::route::Need;
use super::service_time::ServiceTime;
use holdfast_foundation::clock::Offset;
use holdfast_schemas::header::SentAt;
use holdfast_schemas::message::{CspState, UpdateRefusal};
use std::sync::Arc;

/// For how long a word of a CSP about its clock counts, if others follow. Long enough for many heartbeats, of which the quickest
/// counts; short, because a clock that stood still with its whole machine is wrong for so long.
const CLOCK_WINDOW_MS: u64 = 2_000;

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
    /// How long its queries took lately, in microseconds, if it says so.
    pub query_us: Option<u32>,
    /// How long its updates took lately, in microseconds, if it says so.
    pub update_us: Option<u32>,
    /// How often it has connected to NATS.
    pub connects: Option<u64>,
    /// Why it takes no updates, when that is because of the log.
    pub updates_refused: Option<UpdateRefusal>,
    /// What its clock that only grows shows, if it says so.
    pub clock_ms: Option<u64>,
}

/// What is known of one CSP that was heard of.
#[derive(Debug, Clone)]
pub struct Member {
    pub(super) incarnation: Arc<str>,
    pub(super) state: CspState,
    pub(super) applied: u64,
    pub(super) lag_ms: Option<u64>,
    pub(super) heard_at_ms: u64,
    pub(super) connects: Option<u64>,
    updates_refused: Option<UpdateRefusal>,
    clock: Offset,
    /// Nobody was found behind the name then, or it was judged to be gone.
    pub(super) gone_at_ms: Option<u64>,
    /// Supervision judged the process to be unavailable, and nothing was heard of it since.
    pub(super) is_condemned: bool,
    /// Its last heartbeat came after it was held for gone, or for lost.
    pub(super) is_back: bool,
    /// Supervision does not hold it for sound.
    pub(super) is_doubted: bool,
    pub(super) probe: Probe,
    pub(super) pace: Pace,
    pub(super) queries: ServiceTime,
    pub(super) updates: ServiceTime,
    open: u32,
    turns: u32,
    others: f64,
}

impl Member {
    /// A CSP that was not known before, or a new process behind a known name. Nothing of ours is open there.
    pub fn new(report: &Report, lag_ms: Option<u64>, now_ms: u64) -> Self {
        let mut member = Self {
            incarnation: Arc::from(report.incarnation.as_str()),
            state: report.state,
            applied: report.applied,
            lag_ms,
            heard_at_ms: now_ms,
            connects: report.connects,
            updates_refused: report.updates_refused.clone(),
            clock: Offset::new(CLOCK_WINDOW_MS),
            gone_at_ms: None,
            is_condemned: false,
            is_back: false,
            is_doubted: false,
            probe: Probe::default(),
            pace: Pace::default(),
            queries: ServiceTime::default(),
            updates: ServiceTime::default(),
            open: 0,
            turns: 0,
            others: f64::from(report.outstanding),
        };
        member.note_clock(report, now_ms);
        member.note_times(report, now_ms);
        member
    }

    /// The same, doubted by supervision or not.
    pub fn doubted(mut self, is_doubted: bool) -> Self {
        self.is_doubted = is_doubted;
        self
    }

    /// The next heartbeat of the same process. If it was held for gone, it is there again, unless the heartbeat can have
    /// been under way for so long.
    pub fn update(&mut self, report: &Report, lag_ms: Option<u64>, now_ms: u64, under_way_ms: u64) {
        let others = f64::from(report.outstanding.saturating_sub(self.open));
        self.others = (self.others + others) / 2.0;
        self.state = report.state;
        self.applied = report.applied;
        self.lag_ms = lag_ms;
        self.heard_at_ms = now_ms;
        self.connects = report.connects;
        self.updates_refused.clone_from(&report.updates_refused);
        self.note_clock(report, now_ms);
        self.note_times(report, now_ms);
        let is_newer = self.gone_at_ms.is_some_and(|gone_at_ms| now_ms >= gone_at_ms.saturating_add(under_way_ms));
        self.is_back = is_newer;
        self.is_condemned &= !is_newer;
        if is_newer && report.state == CspState::Available {
            self.gone_at_ms = None;
        }
    }

    fn note_clock(&mut self, report: &Report, now_ms: u64) {
        if let Some(clock_ms) = report.clock_ms {
            self.clock.heard(clock_ms, now_ms, now_ms);
        }
    }

    /// What the clock of its process shows now, at least; none if it does not tell.
    pub fn clock_at(&self, now_ms: u64) -> Option<SentAt<'_>> {
        let clock_ms = self.clock.there_ms(now_ms, now_ms)?;
        Some(SentAt { clock_ms, incarnation: &self.incarnation })
    }

    fn note_times(&mut self, report: &Report, now_ms: u64) {
        if let Some(query_us) = report.query_us {
            self.queries.report(query_us, now_ms);
        }
        if let Some(update_us) = report.update_us {
            self.updates.report(update_us, now_ms);
        }
    }

    /// One more of our requests is there.
    pub fn sent(&mut self, need: Need) {
        let count = self.count(need);
        *count = count.saturating_add(1);
    }

    /// One of our requests is there no more.
    pub fn left(&mut self, need: Need) {
        let count = self.count(need);
        *count = count.saturating_sub(1);
    }

    fn count(&mut self, need: Need) -> &mut u32 {
        if need == Need::Turn { &mut self.turns } else { &mut self.open }
    }

    /// Our requests that are there and are worked on.
    pub fn open(&self) -> u32 {
        self.open
    }

    /// Our requests that stand there for a lock.
    pub fn turns(&self) -> u32 {
        self.turns
    }

    /// Requests that are probably waiting there.
    pub fn load(&self) -> f64 {
        f64::from(self.open) + self.others
    }

    /// Was heard of lately, and not found gone since.
    pub fn is_there(&self, now_ms: u64, fresh_ms: u64) -> bool {
        self.gone_at_ms.is_none() && now_ms.saturating_sub(self.heard_at_ms) <= fresh_ms
    }

    /// Was judged to be gone, and not heard of since: what lived in the process is lost.
    pub fn is_condemned(&self) -> bool {
        self.is_condemned
    }

    /// Says of itself that it serves, and is there.
    pub fn available(&self, now_ms: u64, fresh_ms: u64) -> bool {
        self.state == CspState::Available && self.is_there(now_ms, fresh_ms)
    }

    /// The process that was heard last.
    pub fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// The same, to be kept without a copy.
    pub fn shared_incarnation(&self) -> Arc<str> {
        Arc::clone(&self.incarnation)
    }

    /// The state that it last reported.
    pub fn state(&self) -> CspState {
        self.state
    }

    /// Why it was set aside, when that is because of the log: it answers what needs no log.
    pub fn parted(&self) -> Option<&UpdateRefusal> {
        self.updates_refused.as_ref().filter(|_| self.state == CspState::Quarantined)
    }

    /// The position that it last reported.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// How late its copy was at its last heartbeat.
    pub fn lag_ms(&self) -> Option<u64> {
        self.lag_ms
    }

    /// Whether supervision holds it for less than sound: it gets something only if nobody else can take it.
    pub fn is_doubted(&self) -> bool {
        self.is_doubted
    }
}
