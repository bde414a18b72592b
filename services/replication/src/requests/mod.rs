//! Requests to one CSP: one file for each thing that can be asked.

mod answer;
mod commit;
mod control;
mod digest;
mod intake;
mod lock;
mod lock_sweep;
mod open_transactions;
mod query;
mod results;
mod route;
mod settle;
mod transaction;
mod update;

pub use answer::now_ms;
pub use control::has_answered_all;
pub use intake::{Intake, serve};
pub use open_transactions::Transactions;
pub use route::Notes;
