//! The decisions of supervision, without NATS or clocks: time and events come in as arguments, effects go out as values.

pub mod detector;
pub mod table;
pub mod watchlist;
