//! One CSP, as assignment sees it: is it gone, so that its tasks must move; is it fit to be given one?
//!
//! The two are not opposites. A holder that is suspect, silent or late is not fit for anything new, and keeps what it has:
//! only a reason that somebody gave takes a task away. One that is gray stands between: it does the task badly, so it gives way
//! to one that can do it better, and to nobody else.

use super::Policy;
use holdfast_schemas::message::{CspState, CspStateChange, Doubt, Heartbeat};

/// Two heartbeats are to be so far apart before they tell how quickly somebody reads.
const WATCHED_MS_MIN: u64 = 100;

/// What is known of one CSP.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    heard: Option<Heard>,
    verdict: Option<Verdict>,
}

/// What its heartbeats say.
#[derive(Debug, Clone)]
struct Heard {
    node: String,
    incarnation: String,
    state: CspState,
    applied: u64,
    lag_ms: Option<u64>,
    outstanding: u32,
    epoch: u64,
    at_ms: u64,
    /// Since when this process has been available without a pause in its heartbeats.
    available_since_ms: Option<u64>,
    /// An earlier process behind the name served, and this one does not serve yet.
    restarted: bool,
    /// Where this process was when it was first heard to read the log, and when; none while it does not.
    reading: Option<Reading>,
}

/// Where a process was that reads the log.
#[derive(Debug, Clone, Copy)]
struct Reading {
    applied: u64,
    at_ms: u64,
}

/// What supervision says of it that it cannot say itself.
#[derive(Debug, Clone)]
struct Verdict {
    state: CspState,
    doubt: Option<Doubt>,
    cause: String,
    incarnation: Option<String>,
    at_ms: u64,
}

impl Verdict {
    fn new(change: &CspStateChange, at_ms: u64) -> Self {
        Self {
            state: change.state,
            doubt: change.doubt,
            cause: change.cause.clone(),
            incarnation: change.incarnation.clone(),
            at_ms,
        }
    }
}

/// Why a holder must lose its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// Its group is defined without it.
    #[error("is not in the group")]
    Undefined,
    /// Supervision judged that process to be gone.
    #[error("is unavailable")]
    Judged,
    /// It says so itself.
    #[error("is {0}")]
    Reports(CspState),
    /// The process that served is no more, and the one after it does not serve yet.
    #[error("was restarted")]
    Restarted,
}

/// Why a CSP cannot be given a task now. Each may pass by waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// No heartbeat of it has been heard lately.
    #[error("was not heard of lately")]
    Silent,
    /// It says that it does not serve.
    #[error("is {0}")]
    Reports(CspState),
    /// Supervision has doubts about it, or has judged it to be gone.
    #[error("is judged to be {0}")]
    Judged(CspState),
    /// Its copy is too far behind its group.
    #[error("is too far behind the others")]
    Behind,
}

impl Candidate {
    /// It says that it lives, with a copy that is `lag_ms` late; none when that cannot be told.
    pub fn heartbeat(&mut self, beat: &Heartbeat, lag_ms: Option<u64>, policy: &Policy, now_ms: u64) {
        // A verdict on nobody in particular was on whoever had been silent until then.
        if self.verdict.as_ref().is_some_and(|verdict| verdict.incarnation.is_none()) {
            self.verdict = None;
        }
        let available = beat.state == CspState::Available;
        let before = self.heard.take();
        let same = before.as_ref().filter(|before| before.incarnation == beat.incarnation);
        let lasting = same.filter(|same| now_ms.saturating_sub(same.at_ms) <= policy.fresh_ms);
        let since_ms = lasting.and_then(|lasting| lasting.available_since_ms).unwrap_or(now_ms);
        let restarted = match (&before, same) {
            (_, Some(same)) => same.restarted,
            (Some(before), None) => before.available_since_ms.is_some() || before.restarted,
            (None, None) => false,
        };
        let reading = same.and_then(|same| same.reading).unwrap_or(Reading { applied: beat.applied, at_ms: now_ms });
        self.heard = Some(Heard {
            node: beat.node.clone(),
            incarnation: beat.incarnation.clone(),
            state: beat.state,
            applied: beat.applied,
            lag_ms,
            outstanding: beat.outstanding,
            epoch: beat.epoch,
            at_ms: now_ms,
            available_since_ms: available.then_some(since_ms),
            restarted: restarted && is_reading(beat.state),
            reading: is_reading(beat.state).then_some(reading),
        });
    }

    /// Supervision says how it is, from now on.
    pub fn judge(&mut self, change: &CspStateChange, now_ms: u64) {
        self.verdict = Some(Verdict::new(change, now_ms));
    }

    /// What supervision wrote down some time ago, read when it was `asked_at_ms`. It teaches nothing where supervision was
    /// heard since; and where it names no process, nothing about one that lives.
    pub fn judged_before(&mut self, change: &CspStateChange, policy: &Policy, asked_at_ms: u64, now_ms: u64) {
        let newer = self.verdict.as_ref().is_some_and(|verdict| verdict.at_ms >= asked_at_ms);
        let about_another = change.incarnation.is_none() && self.is_fresh(policy, now_ms);
        if !newer && !about_another {
            // Not heard now: what was heard while this was being asked for counts for more.
            self.verdict = Some(Verdict::new(change, asked_at_ms.saturating_sub(1)));
        }
    }

    /// Why it must lose its tasks, if it must.
    pub fn gone(&self, policy: &Policy, now_ms: u64) -> Option<Gone> {
        if self.judged(policy, now_ms).is_some_and(|verdict| verdict.state == CspState::Unavailable) {
            return Some(Gone::Judged);
        }
        let heard = self.heard.as_ref()?;
        match heard.state {
            CspState::Draining
            | CspState::Maintenance
            | CspState::Quarantined
            | CspState::Removed
            | CspState::Unavailable => Some(Gone::Reports(heard.state)),
            CspState::Joining | CspState::CatchingUp if heard.restarted => Some(Gone::Restarted),
            CspState::Joining | CspState::CatchingUp | CspState::Available | CspState::Suspect => None,
        }
    }

    /// In which way supervision found it to be gray, if it did: it should lose its tasks if another one can do better.
    pub fn gray(&self, policy: &Policy, now_ms: u64) -> Option<&str> {
        let verdict = self.judged(policy, now_ms)?;
        (verdict.doubt == Some(Doubt::Gray)).then_some(verdict.cause.as_str())
    }

    /// How long it will go on reading the log, which reaches to `log_end`, if it goes on as it did; none if it does not read, or
    /// if it was not heard for long enough to tell.
    pub fn reads_for_ms(&self, log_end: u64) -> Option<u64> {
        let heard = self.heard.as_ref()?;
        let reading = heard.reading?;
        let (watched_ms, read) = (heard.at_ms - reading.at_ms, heard.applied.saturating_sub(reading.applied));
        let left = u128::from(log_end.saturating_sub(heard.applied));
        let left_ms = left * u128::from(watched_ms) / u128::from(read.max(1));
        (watched_ms >= WATCHED_MS_MIN).then(|| u64::try_from(left_ms).unwrap_or(u64::MAX))
    }

    /// Whether it lives, and says of itself that it does not serve yet.
    pub fn is_reading(&self) -> bool {
        self.heard.as_ref().is_some_and(|heard| heard.reading.is_some())
    }

    /// Whether it may be given a task now.
    pub fn fit(&self, policy: &Policy, now_ms: u64) -> Result<(), Unfit> {
        let heard = self.heard.as_ref().filter(|_| self.is_fresh(policy, now_ms)).ok_or(Unfit::Silent)?;
        if heard.state != CspState::Available {
            return Err(Unfit::Reports(heard.state));
        }
        if let Some(verdict) = self.judged(policy, now_ms) {
            return Err(Unfit::Judged(verdict.state));
        }
        if self.is_late(policy.lag_ms_max) { Err(Unfit::Behind) } else { Ok(()) }
    }

    /// Whether it can do a task that nobody else can do: it serves and is heard, and whatever is doubted about it, nobody holds it
    /// for gone.
    pub fn better_than_nobody(&self, policy: &Policy, now_ms: u64) -> bool {
        !matches!(
            self.fit(policy, now_ms),
            Err(Unfit::Silent | Unfit::Reports(_) | Unfit::Judged(CspState::Unavailable))
        )
    }

    /// What speaks against it, of those that are better than nobody: less is better.
    pub fn doubts(&self, policy: &Policy, now_ms: u64) -> u8 {
        let of_verdict = match self.judged(policy, now_ms).map(|verdict| verdict.doubt) {
            None => 0,
            // It comes and goes, and is there now. One that was not heard by others may be gone. One that does not do its work is
            // worse than both.
            Some(Some(Doubt::Flapping)) => 1,
            Some(Some(Doubt::Silent) | None) => 2,
            Some(Some(Doubt::Gray)) => 3,
        };
        2 * of_verdict + u8::from(self.is_late(policy.lag_ms_max))
    }

    /// Suspect or unavailable, if that was said of the process that we know. One that has been silent is no proof of which
    /// process is meant, so then it is believed.
    fn judged(&self, policy: &Policy, now_ms: u64) -> Option<&Verdict> {
        let verdict = self.verdict.as_ref()?;
        let doubtful = matches!(verdict.state, CspState::Suspect | CspState::Unavailable);
        let other = match (&verdict.incarnation, &self.heard) {
            (Some(judged), Some(heard)) => *judged != heard.incarnation && self.is_fresh(policy, now_ms),
            _ => false,
        };
        (doubtful && !other).then_some(verdict)
    }

    fn is_fresh(&self, policy: &Policy, now_ms: u64) -> bool {
        self.heard.as_ref().is_some_and(|heard| now_ms.saturating_sub(heard.at_ms) <= policy.fresh_ms)
    }

    /// Whether its copy is later than this, as far as its heartbeats tell.
    pub fn is_late(&self, bound_ms: u64) -> bool {
        self.heard.as_ref().and_then(|heard| heard.lag_ms).is_none_or(|lag_ms| lag_ms > bound_ms)
    }

    /// Whether it has not been available for long: it may go again as it came.
    pub fn is_unsettled(&self, policy: &Policy, now_ms: u64) -> bool {
        self.available_for_ms(now_ms).is_none_or(|available_ms| available_ms < policy.settle_ms)
    }

    /// For how long it has been available; none if it is not.
    pub fn available_for_ms(&self, now_ms: u64) -> Option<u64> {
        let since_ms = self.heard.as_ref()?.available_since_ms?;
        Some(now_ms.saturating_sub(since_ms))
    }

    /// Whether it lives and reads the end of its log, so that it must meet what is written there.
    pub fn reads_the_log(&self, policy: &Policy, now_ms: u64) -> bool {
        self.is_fresh(policy, now_ms)
            && self.heard.as_ref().is_some_and(|heard| !matches!(heard.state, CspState::Joining | CspState::CatchingUp))
    }

    /// The node that it runs on, if it was ever heard of.
    pub fn node(&self) -> Option<&str> {
        self.heard.as_ref().map(|heard| heard.node.as_str())
    }

    /// The position that its copy reflects.
    pub fn applied(&self) -> u64 {
        self.heard.as_ref().map_or(0, |heard| heard.applied)
    }

    /// The requests that it works on.
    pub fn outstanding(&self) -> u32 {
        self.heard.as_ref().map_or(0, |heard| heard.outstanding)
    }

    /// The epoch that its copy is in.
    pub fn epoch(&self) -> u64 {
        self.heard.as_ref().map_or(0, |heard| heard.epoch)
    }
}

fn is_reading(state: CspState) -> bool {
    matches!(state, CspState::Joining | CspState::CatchingUp)
}

#[cfg(test)]
#[path = "candidate_tests.rs"]
mod tests;
