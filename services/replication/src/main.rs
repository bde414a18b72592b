//! One CSP of a redundancy group, as a process.
#![recursion_limit = "256"]

use std::process::ExitCode;

// The system's allocator costs SurrealDB, which allocates for every value, a fifth of its speed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    holdfast_foundation::run::<holdfast_replication::service::Replication>()
}
