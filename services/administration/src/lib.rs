//! Administration.

pub mod model;
