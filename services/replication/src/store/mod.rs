//! The edge to the copy: what the certifier decided, as writes of one inner commit, and back again after a restart.

mod buffer;
mod kept_ids;
mod restore;

pub use buffer::{ApplyBuffer, WRITE_BUFFER_MIN_BYTES};
pub use kept_ids::{KeptId, KeptIds};
pub use restore::{RestoreError, Restored, restore};
