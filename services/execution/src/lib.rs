//! The way in: checks updates and queries, picks the CSP, and forwards the message there with the client's own reply
//! subject; and gives tasks to CSPs, that of being primary first of all. See DESIGN.md.
//!
//! `model` and `router` are the routing rules, usable by any client that wants to route by itself.

mod assignment;
pub mod config;
mod definitions;
mod forward;
mod heartbeats;
mod intake;
pub mod model;
pub mod router;
pub mod service;
mod waiting;
