//! NATS headers that travel beside a request, so that the router can add what it knows without touching the body.

use std::fmt;

/// The id of the request. Wins over nothing: it is set from the body's `id`, or made by the router when there is none.
pub const ID: &str = "Holdfast-Id";

/// How often this request was sent to a CSP, counted from 1.
pub const ATTEMPT: &str = "Holdfast-Attempt";

/// How long the answer matters, counted from when the message was sent: see [`TimeLeft`]. No hour of any clock on the wall
/// travels, because no two machines need the same one.
pub const TIME_LEFT: &str = "Holdfast-Time-Left";

/// [`DISPOSITION_NORMAL`], [`DISPOSITION_RECOVERY`], [`DISPOSITION_OUTCOME`] or [`DISPOSITION_REFUSE`].
pub const DISPOSITION: &str = "Holdfast-Disposition";

/// The request is sent for the first time.
pub const DISPOSITION_NORMAL: &str = "normal";

/// The request was sent to another CSP before, which may have carried it out: look for its id first.
pub const DISPOSITION_RECOVERY: &str = "recovery";

/// Only the outcome that the id has already is asked for. Where it has none, nothing is done, and the request is given back as
/// `not_found`.
pub const DISPOSITION_OUTCOME: &str = "outcome";

/// Two CSPs were lost while they worked on the request. It is not to be carried out any more: the outcome that its id has is told, or
/// it is refused under its id for good, as `request_kills`.
pub const DISPOSITION_REFUSE: &str = "refuse";

/// Where the CSP notes that it is done with the request: `<instance>:<number>` of the execution service that forwarded it.
/// A CSP that cannot take such a request gives it back there, instead of refusing it.
pub const ROUTE: &str = "Holdfast-Route";

/// Names a message of an open transaction: `<instance>:<number>`, the same in every attempt at it, with numbers that grow in the
/// order in which the instance took them. By it a CSP knows a repetition from another message.
pub const MESSAGE: &str = "Holdfast-Message";

/// What [`TIME_LEFT`] says: `<ms>`, or `<ms>@<clock_ms>/<incarnation>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLeft<'a> {
    /// How long the answer matters, in milliseconds.
    pub left_ms: u64,
    /// When it was sent, if the sender knows the clock of the CSP that it is sent to.
    pub sent_at: Option<SentAt<'a>>,
}

/// A moment on the clock of one process of a CSP, as its heartbeats tell it (`clock_ms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentAt<'a> {
    /// What that clock showed at least.
    pub clock_ms: u64,
    /// The process whose clock it is.
    pub incarnation: &'a str,
}

impl<'a> TimeLeft<'a> {
    /// Reads the header; none if it is anything else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let Some((left_ms, sent_at)) = text.split_once('@') else {
            return Some(Self { left_ms: text.parse().ok()?, sent_at: None });
        };
        let (clock_ms, incarnation) = sent_at.split_once('/')?;
        let sent_at = SentAt { clock_ms: clock_ms.parse().ok()?, incarnation };
        Some(Self { left_ms: left_ms.parse().ok()?, sent_at: Some(sent_at) })
    }
}

impl fmt::Display for TimeLeft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sent_at {
            Some(SentAt { clock_ms, incarnation }) => write!(f, "{}@{clock_ms}/{incarnation}", self.left_ms),
            None => write!(f, "{}", self.left_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_read_as_it_was_written() {
        let sent_at = Some(SentAt { clock_ms: 1_234, incarnation: "17" });
        for time_left in [TimeLeft { left_ms: 5_000, sent_at: None }, TimeLeft { left_ms: 0, sent_at }] {
            assert_eq!(TimeLeft::parse(&time_left.to_string()), Some(time_left));
        }
        for odd in ["", "x", "-1", "5@", "5@7", "5@x/17", "1@2@3/4", "18446744073709551616"] {
            assert_eq!(TimeLeft::parse(odd), None, "{odd}");
        }
    }
}
