//! The datastore through its public interface, on in-memory engines. One binary: linking SurrealDB is dear.

mod atomicity;
mod deadline;
mod export;
mod failures;
mod full_text;
mod json;
mod live;
mod logged;
mod open_transaction;
mod refusals;
mod results;
mod statements;
mod support;
