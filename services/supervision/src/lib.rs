//! Supervision.

pub mod model;
