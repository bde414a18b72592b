//! SurrealDB's datastore behind a small, boxed interface.
//!
//! Every public operation returns a boxed future of a plain type. An async function is compiled again by whoever awaits it,
//! and SurrealDB's are enormous: without this wall each crate above would take minutes to compile.
#![recursion_limit = "512"]

mod checks;
mod convert;
mod database;
mod effort;
mod engine_options;
mod error;
mod export;
mod factory;
mod failures;
mod first_failure;
mod live;
mod memory;
mod open_transaction;
mod results;
mod statements;

pub use database::{Database, OpenOptions};
pub use error::{OpenError, StatementError};
pub use export::Export;
pub use failures::is_of_storage;
pub use live::{LiveAction, LiveEvent, LiveRouter, LiveStream};
pub use open_transaction::OpenTransaction;
pub use results::dropped_bytes;
pub use statements::{Call, STORAGE_VERSION};
