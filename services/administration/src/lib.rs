//! Defines groups and says how they are. See DESIGN.md.

pub mod config;
mod define;
mod definitions;
mod error;
mod gather;
mod log;
pub mod model;
mod replicas;
mod requests;
pub mod service;
