//! Holdfast's storage engine: SurrealDB's own key-value engine with its commit taken out and replaced by the log.
//!
//! Read transactions pass straight through to the inner engine. A write transaction works on an inner transaction as
//! scratch, so that it sees its own writes, and a [`Recorder`] remembers what it wrote, locked and read. Its commit does
//! not commit: the scratch is dropped and the [`WriteSet`] goes to the [`CommitLog`]. Only the applier writes to a
//! [`Copy`], in the order of the log, so the inner engine never sees a conflict.
//!
//! This folder is the only place that names a `surrealdb-*` crate, because their SPI may change in a patch release.

mod arena;
mod builder;
mod copy;
mod cursor;
mod definitions;
mod journal;
mod keyspace;
mod limits;
mod log;
mod reader;
mod recorder;
pub mod request;
mod stamp;
mod write_buffer;
mod writer;

pub use arena::{WRITE_BYTES, arena_bytes};
pub use builder::Engine;
pub use copy::{Copy, CopyError, CopyOptions, KeyWrite, Snapshot, StorageKind, least_memory_bytes};
pub use keyspace::{is_changefeed_placeholder, is_index_entry, place_stamp, reserved};
pub use limits::{Amount, TransactionLimits};
pub use log::{BoxFuture, CommitFailure, CommitLog, Committed, LogFault, REFUSED_BY_THE_LOG};
pub use recorder::{Recorder, WriteSet};
