//! What the checker can find wrong, told so that the two requests concerned can be looked up in the logs.

use super::{Kind, Observation, Operation, Place};

/// A history that no correct group can have produced.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Violation {
    /// Replaying the log in order does not give what the client was told.
    #[error("request {id} at {place}: {operation:?} saw {observed}, but the log up to there gives {expected}")]
    Result {
        /// The request.
        id: String,
        /// Its place in the log.
        place: Place,
        /// The operation whose result is wrong.
        operation: Operation,
        /// What the client was told.
        observed: Observation,
        /// What the model gives.
        expected: Observation,
    },
    /// A reply carries another number of results than the request has operations.
    #[error("request {id} asked {asked} operations and got {got} results")]
    Shape {
        /// The request.
        id: String,
        /// Operations asked.
        asked: usize,
        /// Results that came.
        got: usize,
    },
    /// A request began after another one was answered, and yet stands before it in the log.
    #[error("request {later} ({kind:?}) began after {earlier} was answered with {earlier_place}")]
    RealTime {
        /// The request that was answered first.
        earlier: String,
        /// Its place.
        earlier_place: Place,
        /// The request that began afterwards.
        later: String,
        /// How it ended, and what was demanded of it.
        kind: Kind,
    },
    /// A session query reflects less than it demanded.
    #[error("query {id} demanded position {after} and was answered at {position}")]
    Session {
        /// The query.
        id: String,
        /// What it demanded.
        after: u64,
        /// What it got.
        position: u64,
    },
    /// Two transactions claim the same place.
    #[error("requests {first} and {second} were both told that they stand at {place}")]
    SamePlace {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The place.
        place: Place,
    },
    /// Two answers under one id that say different things, or the same with other results.
    #[error("request {id} was told {first:?} and then {second:?}, or the same with other results")]
    TwoOutcomes {
        /// The request.
        id: String,
        /// The outcome that was told first.
        first: Kind,
        /// The other one.
        second: Kind,
    },
    /// Nothing was acknowledged for longer than was promised.
    #[error("no update was acknowledged from {since_ns} to {until_ns} ns, and {bound_ns} ns were promised")]
    Unavailable {
        /// The last acknowledgement before.
        since_ns: u64,
        /// The next one, or the end.
        until_ns: u64,
        /// What was promised.
        bound_ns: u64,
    },
    /// Too many requests of unknown outcome to decide.
    #[error("undecided: {unknown} requests of unknown outcome allow more orders than were tried")]
    Undecided {
        /// How many there are.
        unknown: usize,
    },
}
