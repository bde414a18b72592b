//! Whether the group went on: the longest time in which no update was acknowledged, held against what was promised.

use super::{Kind, Record, Violation};

/// A time for which a bound was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it begins, in nanoseconds since the history began.
    pub from_ns: u64,
    /// When it ends.
    pub until_ns: u64,
    /// The longest time that may pass in it without an acknowledgement.
    pub bound_ns: u64,
}

/// Checks that in each window no longer time passed without an acknowledged update than its bound. Clients must have been at work.
pub fn available(history: &[Record], windows: &[Window]) -> Result<(), Violation> {
    let updates = history.iter().filter(|record| matches!(record.kind, Kind::Update(_)));
    let mut answered: Vec<u64> = updates.map(|record| record.completed_ns).collect();
    answered.sort_unstable();
    for window in windows {
        let begin = answered.partition_point(|&at| at < window.from_ns);
        let end = answered.partition_point(|&at| at <= window.until_ns);
        let mut since_ns = window.from_ns;
        for &at in answered[begin..end].iter().chain([&window.until_ns]) {
            if at - since_ns > window.bound_ns {
                return Err(Violation::Unavailable { since_ns, until_ns: at, bound_ns: window.bound_ns });
            }
            since_ns = at;
        }
    }
    Ok(())
}
