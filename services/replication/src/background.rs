//! The threads on which SurrealDB does what nobody waits for: events that are marked so, its housekeeping.
//!
//! An event may call a function that works for minutes without giving way, and is tried again and again, also after a restart and
//! when it was removed. On the threads that hear the network, two such events took a copy away from everybody, and then the next.
//! What they keep here is only SurrealDB's own.

use std::io;
use std::sync::OnceLock;

use holdfast_foundation::lifecycle::STACK_BYTES;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Never dropped: a thread that is kept must not keep the process from ending.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Starts the threads.
///
/// # Errors
/// When no thread can be started.
pub fn start() -> io::Result<()> {
    let runtime =
        Builder::new_multi_thread().enable_all().thread_name("background").thread_stack_size(STACK_BYTES).build()?;
    // Started twice, the first ones stay.
    if let Err(second) = RUNTIME.set(runtime) {
        second.shutdown_background();
    }
    Ok(())
}

/// Runs a task there, and with it whatever it starts; without [`start`], on the caller's runtime.
pub fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match RUNTIME.get() {
        Some(runtime) => runtime.spawn(task),
        None => tokio::spawn(task),
    }
}
