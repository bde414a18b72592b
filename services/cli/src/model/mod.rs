//! What the command decides without doing anything: where a statement ends, what goes into one update, when a child is
//! started again, when a lease is renewed, what options with a notation of their own mean. No files, no network, no clock.

pub mod back_off;
pub mod batch;
pub mod dump;
pub mod lease;
pub mod lexer;
pub mod outlook;
pub mod owner;
pub mod policy;
pub mod progress;
pub mod revival;
pub mod statement;
pub mod task;
