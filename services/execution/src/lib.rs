//! Execution.

pub mod model;
pub mod router;
