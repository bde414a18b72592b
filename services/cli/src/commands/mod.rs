//! One file for each verb that speaks to a running group.

pub mod config;
pub mod export;
pub mod group;
pub mod import;
pub mod lock;
pub mod lock_run;
pub mod maintenance;
pub mod once;
pub mod query;
pub mod source;
pub mod status;
pub mod task;
pub mod update;
pub mod verify;
