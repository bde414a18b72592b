//! The states that a supervisor can be in about one CSP, as one table. DESIGN.md shows the same table; a test compares them.
//!
//! Silence alone condemns nobody: it takes a second signal, a status request that nobody answers, to get from suspect to
//! unavailable. "No responders" is that second signal at once, since the server itself says that nobody listens there.

use holdfast_schemas::message::CspState;

/// What a supervisor believes of a CSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// Nothing heard yet.
    Unknown,
    /// It reports; its state is what it reports.
    Reporting,
    /// It went silent, or was never heard, and is being asked.
    Suspect,
    /// It is silent and does not answer.
    Unavailable,
}

/// What was learnt of a CSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A heartbeat came.
    Heartbeat,
    /// The allowed number of heartbeats did not come.
    HeartbeatsMissed,
    /// A status request was answered.
    StatusAnswered,
    /// The last allowed status request timed out.
    StatusUnanswered,
    /// NATS says that nobody listens for status requests.
    NoResponders,
}

/// One row: in `from`, on `on`, to `to`, because of `cause`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The belief before.
    pub from: Belief,
    /// The signal.
    pub on: Signal,
    /// The belief after.
    pub to: Belief,
    /// What is published as the cause of the change; empty where nothing changes.
    pub cause: &'static str,
}

const fn row(from: Belief, on: Signal, to: Belief, cause: &'static str) -> Row {
    Row { from, on, to, cause }
}

/// The whole table.
pub const TABLE: [Row; 20] = {
    use Belief::{Reporting, Suspect, Unavailable, Unknown};
    use Signal::{Heartbeat, HeartbeatsMissed, NoResponders, StatusAnswered, StatusUnanswered};
    [
        row(Unknown, Heartbeat, Reporting, "heartbeat received"),
        row(Unknown, HeartbeatsMissed, Suspect, "no heartbeat yet"),
        row(Unknown, StatusAnswered, Unknown, ""),
        row(Unknown, StatusUnanswered, Unknown, ""),
        row(Unknown, NoResponders, Unknown, ""),
        row(Reporting, Heartbeat, Reporting, "reported by the CSP"),
        row(Reporting, HeartbeatsMissed, Suspect, "heartbeats missed"),
        row(Reporting, StatusAnswered, Reporting, ""),
        row(Reporting, StatusUnanswered, Reporting, ""),
        row(Reporting, NoResponders, Reporting, ""),
        row(Suspect, Heartbeat, Reporting, "heartbeat received"),
        row(Suspect, HeartbeatsMissed, Suspect, ""),
        row(Suspect, StatusAnswered, Suspect, ""),
        row(Suspect, StatusUnanswered, Unavailable, "heartbeats missed and status request unanswered"),
        row(Suspect, NoResponders, Unavailable, "heartbeats missed and no responders"),
        row(Unavailable, Heartbeat, Reporting, "heartbeat received"),
        row(Unavailable, HeartbeatsMissed, Unavailable, ""),
        row(Unavailable, StatusAnswered, Unavailable, ""),
        row(Unavailable, StatusUnanswered, Unavailable, ""),
        row(Unavailable, NoResponders, Unavailable, ""),
    ]
};

/// What follows from `signal`; the table is total, so there is always a row.
pub fn next(from: Belief, signal: Signal) -> Row {
    TABLE.into_iter().find(|row| row.from == from && row.on == signal).unwrap_or(row(from, signal, from, ""))
}

/// Whether a decided state is written over the one that is written. Supervisors tick at different moments: the suspicion of
/// a slower one is older than the verdict of a faster one, and only a sign of life undoes a verdict.
pub fn replaces(written: CspState, decided: CspState) -> bool {
    written != decided && (written, decided) != (CspState::Unavailable, CspState::Suspect)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BELIEFS: [Belief; 4] = [Belief::Unknown, Belief::Reporting, Belief::Suspect, Belief::Unavailable];
    const SIGNALS: [Signal; 5] = [
        Signal::Heartbeat,
        Signal::HeartbeatsMissed,
        Signal::StatusAnswered,
        Signal::StatusUnanswered,
        Signal::NoResponders,
    ];

    #[test]
    fn one_row_for_every_belief_and_signal() {
        for from in BELIEFS {
            for on in SIGNALS {
                let rows = TABLE.iter().filter(|row| row.from == from && row.on == on).count();
                assert_eq!(rows, 1, "{from:?} on {on:?}");
            }
        }
    }

    #[test]
    fn unavailable_is_reached_from_suspect_only() {
        for row in TABLE.iter().filter(|row| row.to == Belief::Unavailable && row.from != row.to) {
            assert_eq!(row.from, Belief::Suspect);
        }
    }

    #[test]
    fn a_heartbeat_always_ends_in_reporting() {
        assert!(BELIEFS.into_iter().all(|from| next(from, Signal::Heartbeat).to == Belief::Reporting));
    }

    #[test]
    fn every_change_has_a_cause() {
        assert!(TABLE.iter().filter(|row| row.from != row.to).all(|row| !row.cause.is_empty()));
    }

    #[test]
    fn a_verdict_is_undone_by_life_only() {
        assert!(!replaces(CspState::Unavailable, CspState::Suspect));
        assert!(!replaces(CspState::Available, CspState::Available));
        for decided in [CspState::Joining, CspState::CatchingUp, CspState::Available, CspState::Draining] {
            assert!(replaces(CspState::Unavailable, decided), "{decided:?}");
        }
        assert!(replaces(CspState::Available, CspState::Suspect));
        assert!(replaces(CspState::Suspect, CspState::Unavailable));
    }

    #[test]
    fn the_design_page_shows_this_table() {
        let page = include_str!("../../DESIGN.md");
        for row in TABLE.iter().filter(|row| row.from != row.to) {
            let line = format!("| {:?} | {:?} | {:?} | {} |", row.from, row.on, row.to, row.cause);
            assert!(page.contains(&line), "missing in DESIGN.md: {line}");
        }
    }
}
