//! The datastore through its public interface, on SurrealDB's own in-memory engine. One binary: linking SurrealDB is dear.

mod atomicity;
mod deadline;
mod export;
mod json;
mod live;
mod open_transaction;
mod refusals;
mod results;
mod statements;
mod support;
