//! Replication: one CSP's copy of a group's database, kept identical to the others by the group's log.
//!
//! `entry` is the format of the log, `model` the decisions (pure), `log` and `store` the two edges (JetStream and the copy),
//! `applier` what joins them. `requests` answers clients, `start_up` brings a copy to where it can. See DESIGN.md beside this
//! crate for the invariants.
#![recursion_limit = "256"]

mod abandon;
pub mod applier;
pub mod aside;
mod background;
pub mod bench;
pub mod clocks;
pub mod committer;
pub mod config;
pub mod contention;
pub mod digest;
pub mod echo;
pub mod entry;
pub mod fault;
pub mod forward;
pub mod freshness;
pub mod heartbeat;
pub mod locks;
pub mod log;
pub mod log_watch;
pub mod member;
pub mod model;
pub mod namesake;
pub mod policy;
pub mod requests;
pub mod service;
mod set_aside;
pub mod start_up;
pub mod store;
pub mod view;
mod wake;

pub use holdfast_foundation::BoxError;
