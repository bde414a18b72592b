//! Transactions of one copy that want the same keys: which are certain to lose, and who runs when.
//!
//! Think of a counter with one clerk. Everybody could fill in a form at home, from yesterday's rates, and all but one would be
//! sent back. So whoever was sent back once takes a number and fills in the form when it is called.
//!
//! None of this decides what counts: that is the certifier's, from the log alone. It only decides what is tried.

mod forecast;
mod foresight;
mod lines;
mod on_its_way;

pub use forecast::Forecasts;
pub use foresight::Foreseen;
pub use lines::{Lines, Ticket};
pub use on_its_way::{Footprint, Number, OnItsWay};
