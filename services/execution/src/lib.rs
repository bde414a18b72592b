//! The way in: checks updates and queries, picks the CSP, and forwards the message there with the client's own reply
//! subject; and gives tasks to CSPs, that of being primary first of all. See DESIGN.md.
//!
//! `model` holds the rules, usable by any client that wants to route by itself.

mod assignment;
pub mod config;
mod definitions;
mod doubts;
mod envelope;
mod forward;
mod intake;
mod lookup;
pub mod model;
mod news;
mod perform;
mod router;
pub mod service;
mod sweep;
