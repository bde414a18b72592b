//! Tests of the certifier: against a slow and obvious one, through restarts at any point, and rule by rule.

mod compare;
mod foresight;
mod history;
mod known_log;
mod log;
mod rebuild;
mod reference;
mod rules;
mod sabotage;
mod window;

use super::{Applied, Certifier, Limits, Outcome, Verdict, VoidReason};

pub(super) const STORAGE_VERSION: u16 = 3;

/// Small enough that every limit is met within a short history.
pub(super) const SMALL: Limits = Limits {
    window_bytes_max: 1_800,
    window_positions_max: 12,
    window_age_ms_max: 4_000,
    ids_max: 3,
    entry_writes_max: 6,
};

/// What became of a message, in a form that can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Control { effective: bool },
    Collected,
    Batch(Vec<(Verdict, Option<u64>)>),
    Void(VoidReason),
}

impl Seen {
    pub fn of(applied: &Applied) -> Self {
        match &applied.outcome {
            Outcome::Control { effective, .. } => Self::Control { effective: *effective },
            Outcome::Collected => Self::Collected,
            Outcome::Batch(batch) => {
                Self::Batch(batch.decisions().iter().map(|decision| (decision.verdict, decision.stamp)).collect())
            }
            Outcome::Void(reason) => Self::Void(*reason),
        }
    }
}

pub(super) fn small_certifier() -> Certifier {
    Certifier::with_limits(super::AppliedState::genesis(), STORAGE_VERSION, SMALL)
}
