//! This command as a client of a group: one request, one answer, and an error that tells what it means.

use std::time::Duration;

use holdfast_foundation::{
    bus::{Bus, RequestError},
    chain,
    config::{self, Loaded, Sources},
};
use holdfast_schemas::{
    Message,
    message::{GroupStatusReply, GroupStatusRequest},
    subject,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use crate::error::CliError;

/// Between two attempts while nobody listens: a service that is being restarted is back within a few of these.
const RETRY: Duration = Duration::from_millis(100);

/// For questions that any service answers at once.
pub const SHORT: Duration = Duration::from_secs(5);

/// This command's own section of the configuration, `[cli]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CliSettings {
    /// How long NATS may take to let us in. The bus goes on trying for ever; a person at a terminal should not.
    pub connect_timeout_ms: u64,
}

impl Default for CliSettings {
    fn default() -> Self {
        Self { connect_timeout_ms: 3_000 }
    }
}

/// A connection to NATS.
pub struct Client {
    bus: Bus,
    address: String,
}

/// How a request went wrong, while it still matters what may have happened.
#[derive(Debug)]
pub enum AskError {
    /// No answer came, or the connection broke; it may have been carried out.
    TimedOut(Duration),
    /// Everything else, with its sentence.
    Other(CliError),
}

/// The configuration of this process.
///
/// # Errors
/// A file or variable is wrong.
pub fn settings() -> Result<Loaded<CliSettings>, CliError> {
    config::load("cli", &Sources::of_process())
        .map_err(|error| CliError::Usage(format!("{}: correct the setting and try again", chain(&error))))
}

impl Client {
    /// Says something to whoever listens. Nobody answers, and a lost word is replaced by the next.
    pub async fn say(&self, subject: String, body: Vec<u8>) {
        let _ = self.bus.client().publish(subject, body.into()).await;
    }

    /// Connects to the address of the command line, or else of the configuration.
    ///
    /// # Errors
    /// The configuration is wrong, or NATS cannot be reached.
    pub async fn connect(address: Option<&str>) -> Result<Self, CliError> {
        let settings = settings()?;
        let mut nats = settings.common.nats;
        let patience = Duration::from_millis(settings.service.connect_timeout_ms);
        if let Some(address) = address {
            nats.url = address.to_owned();
        }
        let address = nats.url.clone();
        match timeout(patience, Bus::connect(&nats, "holdfast")).await {
            Ok(Ok(bus)) => Ok(Self { bus, address }),
            Ok(Err(error)) => Err(CliError::Unavailable(format!("{}: check --nats and [nats]", chain(&error)))),
            Err(_) => Err(CliError::Unavailable(format!(
                "NATS does not answer at {address}: start a system with `holdfast up`, or name its address with --nats"
            ))),
        }
    }

    /// The bus, for what has no request of its own.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Whether JetStream is there and has a leader.
    ///
    /// # Errors
    /// Why not.
    pub async fn jetstream_answers(&self) -> Result<(), String> {
        let account = self.bus.jetstream().query_account().await;
        account.map(drop).map_err(|error| error.to_string())
    }

    /// The NATS server that leads the log of a group; none where there is one server, or no leader now.
    pub async fn log_leader(&self, group: &str) -> Option<String> {
        let stream = self.bus.jetstream().get_stream(subject::log_stream(group)).await.ok()?;
        stream.cached_info().cluster.as_ref()?.leader.clone()
    }

    /// The state of a group, as administration sees it.
    ///
    /// # Errors
    /// Administration does not answer, or knows no such group.
    pub async fn group_status(&self, group: &str) -> Result<GroupStatusReply, CliError> {
        let request = GroupStatusRequest { group: group.to_owned() };
        self.ask(subject::admin("group", "status"), &request, SHORT).await
    }

    /// Sends a request that changes nothing twice, and waits for its answer; while nobody listens, tries again.
    ///
    /// # Errors
    /// Nobody answers, or the answer is an error.
    pub async fn ask<Q: Message, R: Message>(
        &self,
        subject: String,
        request: &Q,
        patience: Duration,
    ) -> Result<R, CliError> {
        self.ask_once_heard(subject.clone(), request, patience).await.map_err(|error| match error {
            AskError::TimedOut(waited) => CliError::Unavailable(format!(
                "no answer on {subject} within {} ms: see that the service behind it runs and does not stand still, and try again",
                waited.as_millis()
            )),
            AskError::Other(error) => error,
        })
    }

    /// The same, for requests of which it matters whether they may have been carried out: tried again only while it is
    /// certain that nobody heard it.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask_once_heard<Q: Message, R: Message>(
        &self,
        subject: String,
        request: &Q,
        patience: Duration,
    ) -> Result<R, AskError> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.bus.request(subject.clone(), request, left).await {
                Ok(reply) => return Ok(reply),
                Err(RequestError::NoResponders) if left > RETRY => sleep(RETRY).await,
                Err(RequestError::TimedOut | RequestError::Closed(_)) => return Err(AskError::TimedOut(patience)),
                Err(error) => return Err(AskError::Other(self.explain(&subject, error))),
            }
        }
    }

    fn explain(&self, subject: &str, error: RequestError) -> CliError {
        match error {
            RequestError::Refused(refusal) => CliError::Refused(Box::new(refusal)),
            RequestError::NoResponders => CliError::Unavailable(format!(
                "nobody at {} listens on {subject}, so nothing happened: check --group, or start a system with `holdfast up`",
                self.address
            )),
            RequestError::Malformed(_) => CliError::Machine(format!(
                "the answer on {subject} is not understood ({}): use a `holdfast` of the same version as the services",
                chain(&error)
            )),
            RequestError::TimedOut | RequestError::Closed(_) => CliError::Unavailable(format!(
                "the request could not be sent to {} ({error}): check the connection and try again",
                self.address
            )),
        }
    }
}
