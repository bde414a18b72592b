//! Scenarios that the suite runs small and the soak runs large.

mod application;
mod away;
mod counter;
mod faults;
mod kills;
mod load;
mod plan;
mod progress;
mod promise;
mod sabotage;
mod trail;
mod transfer;
mod turns;

pub use application::{Account, Application, Seen};
pub use away::Away;
pub use counter::Counter;
pub use faults::Faults;
pub use kills::Kills;
pub use load::create_many;
pub use plan::{Episode, Fault};
pub use progress::progress;
pub use sabotage::Sabotage;
pub use trail::Trail;
pub use transfer::Transfer;
pub use turns::Turns;
