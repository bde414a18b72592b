//! Says of every CSP in which state it is, since when and why. See DESIGN.md.

pub mod config;
mod definitions;
mod events;
pub mod model;
mod recorder;
pub mod service;
mod watch;
