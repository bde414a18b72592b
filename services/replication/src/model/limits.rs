//! How much the certifier remembers, and how much an entry may write. These numbers are part of the rules: every copy must use the same ones, so they are
//! constants of a release and no configuration.

use holdfast_schemas::limits::{CERTIFIER_WINDOW_MS, MIN_IDS_KEPT_MS};

use crate::entry::WRITES_MAX;

/// Bounds of the window and of the table of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the window, counted as [`KEY_COST_BYTES`] per written key, its length, and
    /// [`POSITION_COST_BYTES`] per position.
    pub window_bytes_max: u64,
    /// Most positions in the window.
    pub window_positions_max: u64,
    /// Longest time, in log time, for which a position stays in the window. A transaction whose snapshot was superseded
    /// longer ago is refused. It keeps the part of the log that a restart reads again short in a quiet group.
    pub window_age_ms_max: u64,
    /// Most ids that are known at a time.
    pub ids_max: u64,
    /// Most keys that the transactions of one entry may set or delete. Every copy demands room for as many at its start, so
    /// that no sender's mistake can stop one.
    pub entry_writes_max: usize,
}

/// What remembering a key costs besides the key itself.
pub const KEY_COST_BYTES: u64 = 32;
/// What remembering a position costs besides its keys.
pub const POSITION_COST_BYTES: u64 = 64;

impl Limits {
    /// The limits of this release.
    pub const RELEASED: Self = Self {
        window_bytes_max: 64 << 20,
        window_positions_max: 1_000_000,
        window_age_ms_max: CERTIFIER_WINDOW_MS,
        ids_max: 4_000_000,
        entry_writes_max: WRITES_MAX,
    };
}

// Whatever the certifier would still accept, it must know as a repetition (`model/ids`).
const _: () = assert!(Limits::RELEASED.window_age_ms_max <= MIN_IDS_KEPT_MS);

impl Default for Limits {
    fn default() -> Self {
        Self::RELEASED
    }
}
