//! The states that a supervisor can be in about one CSP, as one table. DESIGN.md shows the same table; a test compares them.
//!
//! Silence alone condemns nobody. It takes a second signal to accuse, a status request that nobody answers; "no responders" is
//! that signal at once, since the server itself says that nobody listens there. And it takes a majority of the supervisors
//! to get from an accusation to a verdict.

/// What a supervisor believes of a CSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// Nothing heard yet.
    Unknown,
    /// It reports; its state is what it reports.
    Reporting,
    /// It went silent, or was never heard, and is being asked.
    Suspect,
    /// We hold it for gone and say so to the other supervisors.
    Accused,
    /// The majority of the supervisors holds it for gone.
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
    /// The last allowed status request timed out, and the heartbeats are missed.
    StatusUnanswered,
    /// NATS says that nobody listens for status requests.
    NoResponders,
    /// A majority of the supervisors accuses it.
    Agreed,
    /// We ourselves saw nothing for a while.
    Blinded,
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
    /// What is published as the cause of the change.
    pub cause: &'static str,
}

const fn row(from: Belief, on: Signal, to: Belief, cause: &'static str) -> Row {
    Row { from, on, to, cause }
}

/// The whole table. What is not listed changes nothing.
pub const TABLE: [Row; 17] = {
    use Belief::{Accused, Reporting, Suspect, Unavailable, Unknown};
    use Signal::{Agreed, Blinded, Heartbeat, HeartbeatsMissed, NoResponders, StatusAnswered, StatusUnanswered};
    [
        row(Unknown, Heartbeat, Reporting, "heartbeat received"),
        row(Unknown, HeartbeatsMissed, Suspect, "no heartbeat yet"),
        row(Unknown, Agreed, Unavailable, "held for gone by a majority of the supervisors"),
        row(Reporting, Heartbeat, Reporting, "reported by the CSP"),
        row(Reporting, HeartbeatsMissed, Suspect, "heartbeats missed"),
        row(Reporting, NoResponders, Accused, "no responders"),
        row(Reporting, Agreed, Unavailable, "held for gone by a majority of the supervisors"),
        row(Suspect, Heartbeat, Reporting, "heartbeat received"),
        row(Suspect, StatusUnanswered, Accused, "heartbeats missed and status request unanswered"),
        row(Suspect, NoResponders, Accused, "heartbeats missed and no responders"),
        row(Suspect, Agreed, Unavailable, "held for gone by a majority of the supervisors"),
        row(Accused, Heartbeat, Reporting, "heartbeat received"),
        row(Accused, HeartbeatsMissed, Accused, "heartbeats missed and no majority to say that it is gone"),
        row(Accused, StatusAnswered, Suspect, "status request answered again"),
        row(Accused, Agreed, Unavailable, "as accused"),
        row(Accused, Blinded, Suspect, "the supervisor was blind"),
        row(Unavailable, Heartbeat, Reporting, "heartbeat received"),
    ]
};

/// What follows from `signal`, if anything does.
pub fn next(from: Belief, signal: Signal) -> Option<Row> {
    TABLE.into_iter().find(|row| row.from == from && row.on == signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_one_row_for_a_belief_and_a_signal() {
        for row in TABLE {
            let rows = TABLE.iter().filter(|other| (other.from, other.on) == (row.from, row.on)).count();
            assert_eq!(rows, 1, "{:?} on {:?}", row.from, row.on);
        }
    }

    #[test]
    fn only_a_majority_condemns() {
        for row in TABLE.iter().filter(|row| row.to == Belief::Unavailable) {
            assert_eq!(row.on, Signal::Agreed);
        }
    }

    #[test]
    fn a_time_out_accuses_only_whose_heartbeats_are_missed() {
        for row in TABLE.iter().filter(|row| row.on == Signal::StatusUnanswered) {
            assert_eq!(row.from, Belief::Suspect);
        }
    }

    #[test]
    fn a_heartbeat_always_ends_in_reporting() {
        let beliefs =
            [Belief::Unknown, Belief::Reporting, Belief::Suspect, Belief::Accused, Belief::Unavailable].into_iter();
        for from in beliefs {
            assert_eq!(next(from, Signal::Heartbeat).map(|row| row.to), Some(Belief::Reporting), "{from:?}");
        }
    }

    #[test]
    fn every_row_has_a_cause() {
        assert!(TABLE.iter().all(|row| !row.cause.is_empty()));
    }

    #[test]
    fn the_design_page_shows_this_table() {
        let page = include_str!("../../DESIGN.md");
        for row in TABLE {
            let line = format!("| {:?} | {:?} | {:?} | {} |", row.from, row.on, row.to, row.cause);
            assert!(page.contains(&line), "missing in DESIGN.md: {line}");
        }
    }
}
