//! Measures the engine: plain embedded SurrealDB beside three copies on one log. `holdfast-bench` runs it and shows its
//! lines in one table with the figures of the whole system.
#![recursion_limit = "256"]

use std::process::ExitCode;

use holdfast_foundation::lifecycle::STACK_BYTES;
use holdfast_replication::BoxError;
use holdfast_replication::bench::{Server, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("holdfast-replication-bench: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().collect();
    let seconds = match arguments.iter().position(|argument| argument == "--seconds") {
        Some(at) => arguments.get(at + 1).ok_or("--seconds needs a number")?.parse()?,
        None => 8,
    };
    let folder = std::env::temp_dir().join(format!("holdfast-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()?;
    let result = Server::start(&folder, None).and_then(|server| runtime.block_on(run(&folder, &server, seconds)));
    runtime.shutdown_background();
    std::fs::remove_dir_all(&folder)?;
    result
}
