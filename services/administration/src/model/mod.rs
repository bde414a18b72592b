//! The decisions of administration, without NATS: what may be defined, and what a group's status says.

pub mod bootstrap;
pub mod definition;
pub mod status;
