//! Lets a process hear the network while a statement keeps a thread busy.
//!
//! Of tokio's workers the one that goes to sleep last waits for the network, and the others wait for it. If that one is woken and
//! then kept by work that never gives way (one call of a function of SurrealDB that takes minutes), the others sleep on: nobody
//! waits for the network, and the process is deaf although it has threads to spare. A task from outside wakes one of them, which
//! waits for the network when it goes to sleep again. Where all workers are kept in that way this does not help.
//! Without it, one in about seven such statements made a process of two workers deaf for as long as it ran: which worker takes a
//! statement is chance, so no test can show it each time.

use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

/// Far below the interval of heartbeats.
const INTERVAL: Duration = Duration::from_millis(25);

/// Wakes the current runtime now and then, from a thread of its own, until the process ends.
///
/// # Errors
/// When no thread can be started.
pub fn now_and_then() -> std::io::Result<()> {
    let runtime = Handle::current();
    let wake = move || loop {
        thread::sleep(INTERVAL);
        // Once the runtime is gone this does nothing.
        drop(runtime.spawn(std::future::ready(())));
    };
    thread::Builder::new().name("wake".to_owned()).spawn(wake).map(drop)
}
