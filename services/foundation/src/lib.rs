//! What every Holdfast service stands on: configuration, telemetry, the bus, a life cycle, clocks.
//!
//! A service implements [`Service`]; its `main` is one call of [`run`]. The order is always the same: arguments,
//! configuration (nothing is bound or connected yet), telemetry, bus, then the service until it is told to stop.

mod arguments;
pub mod bus;
pub mod clock;
pub mod config;
pub mod lifecycle;
pub mod telemetry;

use std::process::ExitCode;
use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::arguments::Asked;
use crate::bus::Bus;
use crate::clock::{Clock, SystemClock};
use crate::config::Common;
pub use crate::lifecycle::Shutdown;

/// Any error, at the border of a service.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a service is given.
#[derive(Clone)]
pub struct Context {
    /// The connection to NATS.
    pub bus: Bus,
    /// Told when to stop.
    pub shutdown: Shutdown,
    /// Time.
    pub clock: Arc<dyn Clock>,
    service: &'static str,
}

impl Context {
    /// Says that the service does its work from now on: in the log, and to whoever started it (`HOLDFAST_READY_FILE`).
    pub fn ready(&self, what: &str) {
        lifecycle::announce_ready(self.service, what);
    }
}

/// A service of Holdfast.
pub trait Service: Send + 'static {
    /// Name of the service, of its binary behind `holdfast-`, and of its section in the configuration.
    const NAME: &'static str;
    /// Its settings.
    type Config: Serialize + DeserializeOwned + Default + Send;

    /// Works until `context.shutdown` is requested and everything under way is finished.
    fn start(config: Self::Config, context: Context) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// Runs a service as a process.
#[must_use]
pub fn run<S: Service>() -> ExitCode {
    let asked = match arguments::read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(error) => {
            eprintln!("holdfast-{}: {error}", S::NAME);
            return ExitCode::from(arguments::EXIT_USAGE);
        }
    };
    match asked {
        Asked::Help => {
            println!("{}", arguments::help(S::NAME));
            return ExitCode::SUCCESS;
        }
        Asked::Version => {
            println!("holdfast-{} {}", S::NAME, env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Asked::Work | Asked::PrintConfiguration => {}
    }
    if let Err(error) = clock::step::asked_of_process() {
        return fail(S::NAME, &error);
    }
    let loaded = match config::load::<S::Config>(S::NAME, &config::Sources::of_process()) {
        Ok(loaded) => loaded,
        Err(error) => return fail(S::NAME, &error),
    };
    if asked == Asked::PrintConfiguration {
        print!("{}", loaded.printable);
        return ExitCode::SUCCESS;
    }
    telemetry::init(&loaded.common.telemetry);
    let grace = std::time::Duration::from_millis(loaded.common.lifecycle.grace_ms);
    lifecycle::run(S::NAME, grace, |shutdown| start::<S>(loaded.common, loaded.service, shutdown))
}

async fn start<S: Service>(common: Common, config: S::Config, shutdown: Shutdown) -> Result<(), BoxError> {
    let name = format!("holdfast-{}", S::NAME);
    let bus = tokio::select! {
        bus = Bus::connect(&common.nats, &name) => bus?,
        () = shutdown.requested() => return Ok(()),
    };
    let micro = bus::micro::register(&bus, S::NAME).await;
    if let Err(error) = &micro {
        tracing::warn!(%error, "the service is not shown by `nats micro`");
    }
    let context = Context { bus: bus.clone(), shutdown, clock: Arc::new(SystemClock::default()), service: S::NAME };
    let result = S::start(config, context).await;
    // What was published last must leave before the process does.
    let _ = bus.client().flush().await;
    drop(micro);
    result
}

fn fail(service: &str, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("holdfast-{service}: {}", chain(error));
    ExitCode::FAILURE
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own words.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
