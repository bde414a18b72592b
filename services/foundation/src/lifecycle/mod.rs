//! From the first signal to the exit.
//!
//! A service is told to stop by SIGINT, by SIGTERM, or, when it was started by another process that asked for it, by the end
//! of its standard input. It then finishes what is under way, within a grace period. A second signal ends it at once.

mod parent;
mod shutdown;

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

pub use shutdown::Shutdown;

use crate::BoxError;

/// Deeply nested statements and long paths along edges recurse deeply: 5,000 steps take up to 18 MiB, and the default is 2. Only what is
/// used of it takes memory. For every runtime on which statements run.
pub const STACK_BYTES: usize = 32 << 20;
/// Exit code after a second signal, as shells report it for SIGINT.
const EXIT_KILLED: u8 = 130;
/// Names the file to write when the service is ready.
const READY_FILE: &str = "HOLDFAST_READY_FILE";

/// Runs `service` on a runtime of its own until it ends, and gives the exit code.
pub fn run<F>(name: &'static str, grace: Duration, service: impl FnOnce(Shutdown) -> F) -> ExitCode
where
    F: Future<Output = Result<(), BoxError>> + Send,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()
    {
        Ok(runtime) => runtime,
        Err(cause) => {
            eprintln!("holdfast-{name}: the runtime cannot be started: {cause}");
            return ExitCode::FAILURE;
        }
    };
    let shutdown = Shutdown::default();
    let code = runtime.block_on(async {
        tokio::select! {
            result = service(shutdown.clone()) => match result {
                Ok(()) => { info!(service = name, "stopped"); ExitCode::SUCCESS }
                Err(cause) => { error!(service = name, error = %crate::chain(cause.as_ref()), "failed"); ExitCode::FAILURE }
            },
            code = watch(name, &shutdown, grace) => code,
        }
    });
    // Tasks that do not end by themselves must not hold up the exit.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

/// Ends when the process must, whether the service has finished or not.
async fn watch(name: &'static str, shutdown: &Shutdown, grace: Duration) -> ExitCode {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        error!(service = name, "signals cannot be received");
        return ExitCode::FAILURE;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = parent::gone() => {}
    }
    info!(service = name, grace_ms = grace.as_millis() as u64, "stopping");
    shutdown.request();
    tokio::select! {
        () = tokio::time::sleep(grace) => {
            warn!(service = name, "the grace period is over, what is under way is abandoned");
            ExitCode::FAILURE
        }
        _ = interrupt.recv() => ExitCode::from(EXIT_KILLED),
        _ = terminate.recv() => ExitCode::from(EXIT_KILLED),
    }
}

pub(crate) fn announce_ready(service: &str, what: &str) {
    info!(service, "holdfast-{service} ready: {what}");
    let Some(file) = std::env::var_os(READY_FILE) else { return };
    if let Err(cause) = std::fs::write(&file, format!("{}\n", std::process::id())) {
        warn!(service, error = %cause, "the ready file cannot be written");
    }
}
