//! Replication: one CSP's copy of a group's database, kept identical to the others by the group's log.
//!
//! `entry` is the format of the log, `model` the decisions (pure), `log` and `store` the two edges (JetStream and the copy),
//! `applier` what joins them. `service` answers clients. See DESIGN.md beside this crate for the invariants.

pub mod applier;
pub mod digest;
pub mod entry;
pub mod log;
pub mod model;
pub mod store;
pub mod view;
