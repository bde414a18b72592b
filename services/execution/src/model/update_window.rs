//! When a group takes updates: is a window open at a moment, and when is the next one?
//!
//! Windows come again every week, so the week is laid out once, as spans of minutes since Monday 00:00 UTC, sorted and without
//! overlaps. Each question is then one search among them. All moments are UTC, in milliseconds since 1970.

use holdfast_schemas::message::{UpdateWindow, Weekday};
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

const MINUTE_MS: u64 = 60_000;
const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
const WEEK_MS: u64 = WEEK as u64 * MINUTE_MS;
/// 1970 began on a Thursday.
const FIRST_MONDAY_BEFORE_MS: u64 = 3 * DAY as u64 * MINUTE_MS;

/// A moment, shown as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Milliseconds since 1970, in UTC.
    pub utc_ms: u64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whole seconds: windows open at whole minutes. Beyond the year 9999 the text stays in that year.
        const LATEST_MS: u64 = 253_402_300_799_000;
        let moment = UNIX_EPOCH + Duration::from_millis(self.utc_ms.min(LATEST_MS));
        humantime::format_rfc3339_seconds(moment).fmt(f)
    }
}

/// Minutes of the week, from `from` on and before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: u32,
    until: u32,
}

/// The windows of a group, laid out over a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    spans: Vec<Span>,
}

impl Schedule {
    /// Lays the windows out. Without any, it is never open.
    pub fn new(windows: &[UpdateWindow]) -> Self {
        let mut spans: Vec<_> = windows.iter().flat_map(spans_of).collect();
        spans.sort_unstable();
        let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.from <= last.until => last.until = last.until.max(span.until),
                Some(_) | None => merged.push(span),
            }
        }
        Self { spans: merged }
    }

    /// Whether a window is open.
    pub fn is_open(&self, utc_ms: u64) -> bool {
        self.next_opening_ms(utc_ms) == Some(utc_ms)
    }

    /// The first moment from `utc_ms` on at which a window is open, which is `utc_ms` itself while one is; none if there never
    /// is.
    pub fn next_opening_ms(&self, utc_ms: u64) -> Option<u64> {
        let in_week_ms = utc_ms.saturating_add(FIRST_MONDAY_BEFORE_MS) % WEEK_MS;
        let minute = u32::try_from(in_week_ms / MINUTE_MS).unwrap_or(WEEK);
        let later = self.spans.partition_point(|span| span.until <= minute);
        let (span, weeks) = match self.spans.get(later) {
            Some(span) => (span, 0),
            None => (self.spans.first()?, WEEK_MS),
        };
        let opens_in_week_ms = u64::from(span.from) * MINUTE_MS + weeks;
        Some(utc_ms.saturating_add(opens_in_week_ms.saturating_sub(in_week_ms)))
    }
}

/// Where a window is in the week. One that goes beyond Sunday's end begins the week, too.
fn spans_of(window: &UpdateWindow) -> impl Iterator<Item = Span> {
    let days = if window.days.is_empty() { Weekday::ALL.to_vec() } else { window.days.clone() };
    let (from, until) = (u32::from(window.from.minutes()), u32::from(window.until.minutes()));
    let until = if until > from { until } else { until + DAY };
    days.into_iter().flat_map(move |day| {
        let begin = day as u32 * DAY;
        let (from, until) = (begin + from, begin + until);
        let in_week = Span { from, until: until.min(WEEK) };
        let beyond = (until > WEEK).then(|| Span { from: 0, until: until - WEEK });
        std::iter::once(in_week).chain(beyond)
    })
}

#[cfg(test)]
#[path = "update_window_tests.rs"]
mod tests;
