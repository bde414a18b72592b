//! How a CSP is set up. Section `[replication]`.

use std::path::PathBuf;

use holdfast_foundation::config::host_name;
use holdfast_memory::Bounds;
use holdfast_schemas::limits;
use holdfast_schemas::message::Storage;
use holdfast_schemas::name::{self, NameKind};
use holdfast_storage::least_memory_bytes;
use serde::{Deserialize, Serialize};

use crate::store::WRITE_BUFFER_MIN_BYTES;

/// The settings of one CSP.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplicationConfig {
    /// The group that this CSP belongs to.
    pub group: String,
    /// Name of this CSP; the host's name if empty.
    pub csp: String,
    /// Name of the node; the host's name if empty.
    pub node: String,
    /// Folder of this CSP's copy.
    pub data_dir: PathBuf,
    /// Where the copy is kept.
    pub storage: Storage,
    /// Memory for the copy's block cache and write buffer, in MiB; at least [`MEMORY_MIN_MB`]. What SurrealDB needs for its work
    /// comes on top.
    pub memory_mb: u64,
    /// What the statements of all requests may hold in memory together, in MiB. Above it they are stopped; for a moment they may
    /// hold twice as much.
    pub statement_memory_mb: u64,
    /// Entries that may be on their way to the log at a time.
    pub in_flight_max: usize,
    /// After this long without news of an entry, an empty one is sent behind it to learn its fate.
    pub stall_ms: u64,
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self {
            group: "demo".to_owned(),
            csp: String::new(),
            node: String::new(),
            data_dir: PathBuf::from("data/copy"),
            storage: Storage::Surrealkv,
            memory_mb: 512,
            statement_memory_mb: 512,
            in_flight_max: 2,
            stall_ms: 400,
        }
    }
}

/// The least memory of a copy, in MiB.
pub const MEMORY_MIN_MB: u64 = limits::COPY_MEMORY_MIN_MB;
const _: () = assert!(least_memory_bytes(WRITE_BUFFER_MIN_BYTES) <= MEMORY_MIN_MB << 20, "the least memory is enough");

/// A setting is out of its range. Nothing was started; correct the setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A name cannot be part of a subject.
    #[error(transparent)]
    Name(#[from] name::InvalidName),
    /// A copy has to take the largest transaction that the rules allow, or it would end with it.
    #[error(
        "replication.memory_mb is {memory_mb}, and a copy needs at least {MEMORY_MIN_MB}: the largest transaction of the group \
         (up to {} MiB that set or delete up to {} keys) has to fit into its write buffer",
        limits::TRANSACTION_MAX_BYTES >> 20,
        limits::TRANSACTION_MAX_WRITES
    )]
    Memory {
        /// What is set.
        memory_mb: u64,
    },
    /// A number is out of range.
    #[error("replication.{field} is {value}: set {range}")]
    Range {
        /// Which setting.
        field: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        range: &'static str,
    },
}

impl ReplicationConfig {
    /// What statements may hold in memory, and the process with its copy: a write buffer that is filled while others are flushed,
    /// the block cache, and what it needs besides.
    #[must_use]
    pub fn memory_bounds(&self) -> Bounds {
        const BESIDES_BYTES: u64 = 512 << 20;
        let (stop, copy) = (self.statement_memory_mb << 20, self.memory_mb << 20);
        Bounds { stop, sleep: 2 * stop, resident: 2 * stop + 3 * copy + BESIDES_BYTES }
    }

    /// Fills in what is left open and checks everything.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn complete(mut self) -> Result<Self, ConfigError> {
        if self.csp.is_empty() {
            self.csp = host_name();
        }
        if self.node.is_empty() {
            self.node = host_name();
        }
        name::validate(NameKind::Group, &self.group)?;
        name::validate(NameKind::Csp, &self.csp)?;
        name::validate(NameKind::Node, &self.node)?;
        let range = |field, value, within: bool, range| {
            if within { Ok(()) } else { Err(ConfigError::Range { field, value, range }) }
        };
        if self.memory_mb < MEMORY_MIN_MB {
            return Err(ConfigError::Memory { memory_mb: self.memory_mb });
        }
        range("memory_mb", self.memory_mb, self.memory_mb <= 1 << 20, "1048576 at most")?;
        let statements = (256..=1 << 20).contains(&self.statement_memory_mb);
        range("statement_memory_mb", self.statement_memory_mb, statements, "256 to 1048576")?;
        range("in_flight_max", self.in_flight_max as u64, (1..=64).contains(&self.in_flight_max), "1 to 64")?;
        range("stall_ms", self.stall_ms, (50..=60_000).contains(&self.stall_ms), "50 to 60000")?;
        Ok(self)
    }
}
