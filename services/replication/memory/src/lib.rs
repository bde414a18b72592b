//! Meters what a piece of work holds in memory, and stops it before the process dies of it.
//!
//! SurrealDB bounds what a function may build by the number of its parts, not by their size, so a short statement can ask for more
//! memory than any machine has. Nothing below it can refuse an allocation: a process whose allocation fails is ended. So the
//! allocator counts. While a future is polled under an [`Account`], the thread that polls it notes what it takes and gives back; every
//! few MiB it is compared with the bound:
//! - above the bound, the work is told to stop. It does at its next safe point, nearly always at once;
//! - far above it, the work is inside something that has no safe points. Its thread is put to sleep for good where it stands, with
//!   what it holds, and the runtime gets another one. Whoever waits for it is told, and the process should be replaced in order.
//!
//! The same place notices work that keeps its thread: one call of a function that takes minutes, in which nothing gives way. After
//! 200 ms the runtime goes on with another thread, so that any number of such calls leaves it able to hear and to answer. Work that
//! allocates nothing is not noticed.
//!
//! What it costs: two additions and comparisons for each allocation, and a look at the clock when work begins. Memory that a helper
//! thread takes on behalf of the work is on no account. So what the process is resident with is looked at ten times a second, and work
//! is stopped when that is too much.

mod account;
mod allocator;
mod meter;
mod watcher;

pub use account::{Account, Bounds, Excess, metered};
pub use allocator::Metered;
