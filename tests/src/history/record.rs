//! One line of a history: what a client asked, when, and how it ended.

use std::fmt;

use super::{Observation, Operation};

/// Where a transaction stands in the log. The order of places is the order of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The entry's position.
    pub position: u64,
    /// The place inside the entry.
    pub index: u32,
}

impl Place {
    /// Behind everything of a position: what a query that reflects this position has seen.
    pub fn end_of(position: u64) -> Self {
        Self { position, index: u32::MAX }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            u32::MAX => write!(f, "end of {}", self.position),
            index => write!(f, "{}/{index}", self.position),
        }
    }
}

/// What a reader demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Any copy, however far behind.
    Any,
    /// Not older than this position.
    Session(u64),
    /// Every update acknowledged longer than these nanoseconds before the query was sent.
    Lag(u64),
    /// Everything that anybody was told before the query was sent.
    Strong,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An update that was acknowledged at this place.
    Update(Place),
    /// A query that reflects this position.
    Query {
        /// The position in the reply.
        position: u64,
        /// What was demanded.
        consistency: Consistency,
    },
    /// An update of which a statement failed on the state at a position: nothing of it happened.
    Failed {
        /// The position of that state.
        position: u64,
        /// Which statement, counted from 0.
        statement: usize,
    },
    /// An update that certainly did not happen, nor will.
    Refused,
    /// An update that may have happened, once, or not.
    Unknown,
}

/// A request with its times and its end.
#[derive(Clone, Debug)]
pub struct Record {
    /// The request's id.
    pub id: String,
    /// Nanoseconds since the history began, taken before the first attempt was sent.
    pub invoked_ns: u64,
    /// Nanoseconds since the history began, taken after the final answer came.
    pub completed_ns: u64,
    /// What was asked.
    pub operations: Vec<Operation>,
    /// What each operation saw; empty where no result came.
    pub observed: Vec<Observation>,
    /// How it ended.
    pub kind: Kind,
}

impl Record {
    /// Where in the log the request's results must hold, if it has any.
    pub fn place(&self) -> Option<Place> {
        match self.kind {
            Kind::Update(place) => Some(place),
            Kind::Query { position, .. } | Kind::Failed { position, .. } => Some(Place::end_of(position)),
            Kind::Refused | Kind::Unknown => None,
        }
    }
}
