//! The history checker: proof that what clients were told fits one serial order, the order of the log.
//!
//! Clients record what they asked, when, what they read and which place in the log the answer named. Afterwards the
//! committed transactions are replayed in that order on a model of a few lines (`model`), and every result must come
//! out again (`check`). Nothing here knows NATS or SurrealDB but `sql` and `recorder`, so that the checker itself can
//! be tested by the thousand, with histories that are right and histories that were damaged on purpose.

mod available;
#[cfg(test)]
mod broken;
mod check;
mod clients;
mod messages;
mod model;
mod operation;
mod record;
mod recorder;
mod search;
#[cfg(test)]
mod simulate;
mod sql;
#[cfg(test)]
mod tests;
mod violation;
mod workload;

pub use available::{Window, available};
pub use check::{Summary, check};
pub use model::State;
pub use operation::{Observation, Operation};
pub use record::{Consistency, Kind, Place, Record};
pub use recorder::{Recorder, Surroundings};
pub use sql::{SCHEMA, decode, encode};
pub use violation::Violation;
pub use workload::Workload;
