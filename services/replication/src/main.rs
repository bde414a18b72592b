//! One CSP of a redundancy group, as a process.
#![recursion_limit = "256"]

use std::process::ExitCode;

use holdfast_memory::Metered;

// What statements hold in memory is metered. The system's allocator costs SurrealDB, which allocates for every value, a fifth of its speed.
#[global_allocator]
static ALLOCATOR: Metered<mimalloc::MiMalloc> = Metered(mimalloc::MiMalloc);

fn main() -> ExitCode {
    holdfast_foundation::run::<holdfast_replication::service::Replication>()
}
