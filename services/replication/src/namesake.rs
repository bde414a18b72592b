//! A CSP's name belongs to one process. Two under one name would answer each other's requests, and make each other void in the log.
//!
//! Before it does anything, a process asks whether somebody answers under its name, and ends if so. Two that start at the same
//! moment find nobody; then the one that was started later hears the other's heartbeats, and ends. One that stands still or is cut
//! off does not answer, and is no reason to wait: once the later one writes, the log makes the earlier one void, and that one stops.
//! So an earlier one that is heard of from then on is no reason to end: both would, and nobody would be left.

use std::time::Duration;

use holdfast_foundation::bus::Bus;
use holdfast_schemas::message::{StatusReply, StatusRequest};
use holdfast_schemas::subject;
use tokio::time::Instant;

use crate::config::ReplicationConfig;

/// How long somebody of our name may take to answer.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// For how long heartbeats must come before they prove that their sender lives: late ones of a dead process come all at once.
const LIVES_AFTER: Duration = Duration::from_secs(2);

/// Another process runs as this CSP. Nothing was done; stop it, or give this one a name of its own.
#[derive(Debug, thiserror::Error)]
#[error("{csp} of group {group} runs already, on {node}: stop it first, or take another name")]
pub struct NamesakeError {
    csp: String,
    group: String,
    node: String,
}

/// Fails if somebody answers under this name.
///
/// # Errors
/// See [`NamesakeError`].
pub async fn refuse_a_second(bus: &Bus, config: &ReplicationConfig) -> Result<(), NamesakeError> {
    let to = subject::csp_status(&config.group, &config.csp);
    let asked = bus.request::<StatusRequest, StatusReply>(to, &StatusRequest::default(), ANSWER_MAX).await;
    let Ok(StatusReply { heartbeat, .. }) = asked else { return Ok(()) };
    let (csp, group) = (config.csp.clone(), config.group.clone());
    Err(NamesakeError { csp, group, node: heartbeat.node })
}

/// What was heard of an earlier process of our name.
#[derive(Debug, Default)]
pub struct Earlier {
    first: Option<(u64, Instant)>,
}

impl Earlier {
    /// Takes in the incarnation of a heartbeat under our name; gives it once it is certain that its sender lives. None if the log has
    /// decided for us: `in_log` is the incarnation that counts there.
    pub fn heard(&mut self, own: u64, in_log: Option<u64>, theirs: u64, now: Instant) -> Option<u64> {
        if theirs >= own || in_log == Some(own) {
            return None;
        }
        match self.first {
            Some((known, first)) if known == theirs => (now.duration_since(first) >= LIVES_AFTER).then_some(theirs),
            _ => {
                self.first = Some((theirs, now));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_process_counts_once_it_goes_on_speaking() {
        let (mut earlier, start) = (Earlier::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(earlier.heard(9, None, 5, at(0)), None);
        assert_eq!(earlier.heard(9, None, 5, at(1)), None, "late words of a dead process come at once");
        assert_eq!(earlier.heard(9, Some(7), 7, at(1_999)), None, "somebody else");
        assert_eq!(earlier.heard(9, Some(7), 7, at(3_000)), None);
        assert_eq!(earlier.heard(9, Some(7), 7, at(4_000)), Some(7));
    }

    #[test]
    fn ourselves_and_later_ones_are_no_reason_to_end() {
        let (mut earlier, start) = (Earlier::default(), Instant::now());
        for theirs in [9, 10] {
            for second in 0..5 {
                assert_eq!(earlier.heard(9, None, theirs, start + Duration::from_secs(second)), None);
            }
        }
    }

    #[test]
    fn an_earlier_one_is_no_reason_to_end_once_the_log_has_decided_for_us() {
        let (mut earlier, start) = (Earlier::default(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        assert_eq!(earlier.heard(9, Some(7), 7, at(0)), None);
        for second in 1..9 {
            assert_eq!(earlier.heard(9, Some(9), 7, at(second)), None, "it reads the log and stops");
        }
        assert_eq!(earlier.heard(9, Some(7), 7, at(9)), Some(7), "the log has not decided");
    }
}
