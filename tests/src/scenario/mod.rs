//! Scenarios that the suite runs small and the soak runs large.

mod away;
mod counter;
mod kills;
mod load;
mod transfer;

pub use away::Away;
pub use counter::Counter;
pub use kills::Kills;
pub use load::create_many;
pub use transfer::Transfer;
