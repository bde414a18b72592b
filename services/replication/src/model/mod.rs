//! The decisions of replication: pure functions of the log, without I/O, clocks or chance.
//!
//! Think of a land registry. Everybody may post an application; the registrar opens them in the order of the post book and
//! accepts or refuses each by the book alone. Any two registrars who opened the same book agree on every line, also if one
//! of them slept for a week, or took over the office from another. `certifier` is the registrar, `rebuild` is how one
//! takes over.
//!
//! The pointers, and what always holds between them:
//!
//! ```text
//! horizon <= snapshot <= base < position     of each accepted transaction, at the time it is accepted
//! horizon <= applied  <= end of the log
//! ```
//!
//! - `position`: place of a message in the log; the first is 1.
//! - `applied`: the last position that this copy holds.
//! - `base`: what the sender had applied when it sealed an entry. `snapshot`: what one transaction read at.
//! - `horizon`: the certifier remembers what was written behind it, and nothing of what was written up to it.
//!
//! What must be kept to take over (see `rebuild`): the [`AppliedState`], the [`Record`] of each position behind the horizon
//! that has one, the ids that are still known, and the log from `horizon + 1` on.

mod admit;
mod applied;
mod assemble;
mod broken;
mod certifier;
mod chain;
pub mod contention;
pub mod fingerprint;
mod ids;
mod judge;
mod keys;
mod known_log;
mod limits;
pub mod lock;
pub mod lock_line;
pub mod lock_table;
mod log_clock;
pub mod messages;
mod origin;
mod position;
mod rebuild;
mod record;
mod runs;
mod shortage;
mod state;
#[cfg(test)]
mod tests;
mod verdict;
mod window;

pub(crate) use assemble::{Assembled, Assembler};

pub use applied::{Applied, AppliedBatch, Decision, Outcome};
pub use broken::Broken;
pub use certifier::Certifier;
pub use chain::Chain;
pub use known_log::{KnownLog, LogMark, Sight, Unfit};
pub use limits::Limits;
pub use log_clock::LogClock;
pub use origin::OriginState;
pub use position::{LogMessage, Place, Position};
pub use rebuild::Rebuild;
pub use record::{Record, RecordError};
pub use shortage::Shortage;
pub use state::{AppliedState, StateError};
pub use verdict::{Cause, Verdict, VoidReason};

pub use crate::entry::{Isolation, Replication};
