//! The decisions of supervision, without NATS or clocks: time and events come in as arguments, effects go out as values.

pub mod council;
pub mod damping;
pub mod decision;
pub mod detector;
pub mod health;
pub mod nodes;
pub mod patience;
pub mod sight;
pub mod table;
mod watched;
pub mod watchlist;
