//! One line of the result.

use std::time::Duration;

use serde::Serialize;

use super::Case;
use crate::scenario::{Account, Seen};

/// What a figure may be at most; none where nothing is promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Median of the updates' pauses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<u64>,
    /// The pause that one run in a hundred exceeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<u64>,
    /// The longest pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
    /// The longest pause of the queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_max_ms: Option<u64>,
    /// Queries that may fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_queries: Option<u64>,
}

/// What many runs of one case gave.
#[derive(Clone, Debug, Serialize)]
pub struct FailoverRow {
    /// The case, as on the command line.
    pub case: &'static str,
    /// The same for people.
    #[serde(skip)]
    pub title: &'static str,
    /// How many runs.
    pub runs: usize,
    /// The pause of the updates in each run, the shortest first.
    pub pauses_ms: Vec<f64>,
    /// Median of these.
    pub p50_ms: f64,
    /// The pause that one run in a hundred exceeds.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// The longest pause of the queries.
    pub query_max_ms: f64,
    /// Updates whose first attempt was not answered as it should be, over all runs.
    pub failed_updates: u64,
    /// The same of queries.
    pub failed_queries: u64,
    /// One of these failures, as the client was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What became of all updates.
    #[serde(flatten)]
    pub account: Account,
    /// What has to hold.
    pub limits: Limits,
    /// Whether it does.
    pub met: bool,
}

impl FailoverRow {
    /// Sums up what clients saw in each run.
    pub fn new(case: Case, seen: &[Seen], account: Account) -> Self {
        let mut pauses: Vec<Duration> = seen.iter().map(|once| once.update_pause).collect();
        pauses.sort();
        let failures = || seen.iter().flat_map(|once| once.failed_updates.iter().chain(&once.failed_queries));
        let mut row = Self {
            case: case.name(),
            title: case.title(),
            runs: seen.len(),
            pauses_ms: pauses.iter().copied().map(milliseconds).collect(),
            p50_ms: milliseconds(at(&pauses, 0.5)),
            p99_ms: milliseconds(at(&pauses, 0.99)),
            max_ms: milliseconds(at(&pauses, 1.0)),
            query_max_ms: milliseconds(seen.iter().map(|once| once.query_pause).max().unwrap_or_default()),
            failed_updates: seen.iter().map(|once| once.failed_updates.len() as u64).sum(),
            failed_queries: seen.iter().map(|once| once.failed_queries.len() as u64).sum(),
            failure: failures().next().cloned(),
            account,
            limits: case.limits(),
            met: false,
        };
        row.met = row.is_within(1);
        row
    }

    /// Whether no figure is above so many times its limit, and nothing is lost, doubled or unsettled.
    pub fn is_within(&self, times: u64) -> bool {
        self.is_within_limits(times) && self.account.settled().is_ok()
    }

    fn is_within_limits(&self, times: u64) -> bool {
        let within = |figure: f64, limit: Option<u64>| limit.is_none_or(|limit| figure <= (limit * times) as f64);
        within(self.p50_ms, self.limits.p50_ms)
            && within(self.p99_ms, self.limits.p99_ms)
            && within(self.max_ms, self.limits.max_ms)
            && within(self.query_max_ms, self.limits.query_max_ms)
            && within(self.failed_queries as f64, self.limits.failed_queries)
    }
}

/// The least of the sorted pauses that so large a part of them does not exceed.
fn at(sorted: &[Duration], part: f64) -> Duration {
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(update_ms: u64, failed_queries: usize) -> Seen {
        Seen {
            update_pause: Duration::from_millis(update_ms),
            query_pause: Duration::from_millis(1),
            failed_updates: Vec::new(),
            failed_queries: vec!["unavailable".to_owned(); failed_queries],
        }
    }

    #[test]
    fn quantiles_are_pauses_that_happened() {
        let pauses: Vec<Duration> = (1..=50).map(Duration::from_millis).collect();
        let ms = |part| at(&pauses, part).as_millis();
        assert_eq!((ms(0.5), ms(0.98), ms(0.99), ms(1.0)), (25, 49, 50, 50));
        assert_eq!(at(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn limits_are_met_only_if_every_one_is_and_nothing_is_lost() {
        let met = |seen: &[Seen], account| FailoverRow::new(Case::SubscriberKilled, seen, account).met;
        assert!(met(&[seen(100, 0)], Account::default()));
        assert!(!met(&[seen(101, 0)], Account::default()));
        assert!(!met(&[seen(5, 1)], Account::default()));
        let within_twice =
            |ms| FailoverRow::new(Case::SubscriberKilled, &[seen(ms, 0)], Account::default()).is_within(2);
        assert!(within_twice(200) && !within_twice(201));
        assert!(!met(&[seen(5, 0)], Account { lost: 1, ..Account::default() }));
    }
}
