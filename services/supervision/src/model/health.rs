//! Gray failures: a CSP that reports, answers, and does not do its work.
//!
//! A colleague who says "all well" at every call and has not moved for minutes. What gives it away stands in its own
//! heartbeats: its copy cannot be read or written, a message of the log waits unapplied, it has not reached where the furthest of its
//! group was some time ago, or its queries take many times as long as those of the others.
//!
//! Lag is measured in time and not in entries: under load everybody is always some entries behind, and reaches them soon.

use holdfast_schemas::message::Heartbeat;
use std::collections::{BTreeMap, VecDeque};

/// A query time this many times that of the others is slow.
const SLOW_FACTOR: u32 = 10;

/// Below this nothing is slow, whatever the others take.
const SLOW_QUERY_US_MIN: u32 = 50_000;

/// Slow heartbeats in a row that make a CSP slow; one slow query is nothing.
const SLOW_HEARTBEATS: u32 = 5;

/// Query times older than this, and than two heartbeats, are compared with no longer.
const QUERY_TIME_FRESH_MS: u64 = 2_000;

/// How much is put up with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a delivered message may wait.
    pub stuck_ms_max: u64,
    /// How far back in time a copy may be.
    pub lag_ms_max: u64,
    /// How long it must be well before it is trusted again.
    pub well_after_ms: u64,
    /// How often the furthest position is noted.
    pub sample_ms: u64,
}

/// The health of one group.
#[derive(Debug)]
pub struct Health {
    limits: Limits,
    /// How far the furthest was, and when; the first is the newest of those that are older than the lag that is allowed.
    furthest: VecDeque<(u64, u64)>,
    csps: BTreeMap<String, Patient>,
}

#[derive(Debug, Default)]
struct Patient {
    query: Option<(u64, u32)>,
    slow_heartbeats: u32,
    complaint: Option<(u64, String)>,
}

impl Health {
    /// A group of which nothing is known.
    pub fn new(limits: Limits) -> Self {
        Self { limits, furthest: VecDeque::new(), csps: BTreeMap::new() }
    }

    /// Other limits hold from now on.
    pub fn adopt(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Only these are in the group.
    pub fn retain(&mut self, csps: &[String]) {
        self.csps.retain(|csp, _| csps.contains(csp));
    }

    /// We saw nothing for a while: how far the others were before is no measure any more.
    pub fn blind(&mut self) {
        self.furthest.clear();
    }

    /// A heartbeat of a CSP that takes requests. What is wrong with it, if anything is.
    pub fn examine(&mut self, beat: &Heartbeat, now_ms: u64) -> Option<&str> {
        self.note_furthest(beat.applied, now_ms);
        let symptom = self.symptom(beat, now_ms);
        let well_after_ms = self.limits.well_after_ms;
        let patient = self.csps.entry(beat.csp.clone()).or_default();
        if let Some(symptom) = symptom {
            patient.complaint = Some((now_ms, symptom));
        } else if patient.is_well_for(well_after_ms, now_ms) {
            patient.complaint = None;
            patient.slow_heartbeats = 0;
        }
        patient.complaint.as_ref().map(|(_, symptom)| symptom.as_str())
    }

    fn symptom(&mut self, beat: &Heartbeat, now_ms: u64) -> Option<String> {
        let slow = self.slow(beat, now_ms);
        if let Some(error) = &beat.storage_error {
            return Some(format!("its copy cannot be read or written: {error}"));
        }
        if let Some(stuck_ms) = beat.stuck_ms.filter(|stuck_ms| *stuck_ms > self.limits.stuck_ms_max) {
            return Some(format!("a message of the log has waited for {stuck_ms} ms"));
        }
        if let Some((at, position)) = self.furthest.front()
            && now_ms.saturating_sub(*at) >= self.limits.lag_ms_max
            && beat.applied < *position
        {
            return Some(format!("it has not reached what another had reached {} ms ago", now_ms.saturating_sub(*at)));
        }
        slow
    }

    fn slow(&mut self, beat: &Heartbeat, now_ms: u64) -> Option<String> {
        let others = self.median_of_others(&beat.csp, now_ms);
        let patient = self.csps.entry(beat.csp.clone()).or_default();
        let query_us = beat.query_us?;
        patient.query = Some((now_ms, query_us));
        let median_us = others?;
        if query_us <= SLOW_QUERY_US_MIN || query_us <= median_us.saturating_mul(SLOW_FACTOR) {
            patient.slow_heartbeats = 0;
            return None;
        }
        patient.slow_heartbeats += 1;
        (patient.slow_heartbeats >= SLOW_HEARTBEATS)
            .then(|| format!("its queries take {query_us} us where those of the others take {median_us} us"))
    }

    fn median_of_others(&self, csp: &str, now_ms: u64) -> Option<u32> {
        let others = self.csps.iter().filter(|(name, _)| *name != csp).filter_map(|(_, patient)| patient.query);
        let fresh_ms = QUERY_TIME_FRESH_MS.max(2 * self.limits.sample_ms);
        let fresh = others.filter(|(at, _)| now_ms.saturating_sub(*at) <= fresh_ms);
        let mut times: Vec<_> = fresh.map(|(_, query_us)| query_us).collect();
        times.sort_unstable();
        times.get(times.len().checked_sub(1)? / 2).copied()
    }

    fn note_furthest(&mut self, applied: u64, now_ms: u64) {
        let newest = self.furthest.back().copied();
        let further = newest.is_none_or(|(_, position)| applied > position);
        let rested = newest.is_none_or(|(at, _)| now_ms.saturating_sub(at) >= self.limits.sample_ms);
        if further && rested {
            self.furthest.push_back((now_ms, applied));
        }
        let old = |sample: Option<&(u64, u64)>| {
            sample.is_some_and(|(at, _)| now_ms.saturating_sub(*at) >= self.limits.lag_ms_max)
        };
        while old(self.furthest.get(1)) {
            self.furthest.pop_front();
        }
    }
}

impl Patient {
    fn is_well_for(&self, well_after_ms: u64, now_ms: u64) -> bool {
        self.complaint.as_ref().is_some_and(|(at, _)| now_ms.saturating_sub(*at) >= well_after_ms)
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
