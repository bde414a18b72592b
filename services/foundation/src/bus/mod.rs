//! The bus: NATS, with typed messages and the three outcomes that a call over a network has.

pub mod log_stream;
pub mod micro;

use std::time::Duration;

use async_nats::jetstream;
use holdfast_schemas::message::{ErrorReply, decode_reply};
use holdfast_schemas::{DecodeError, ErrorCode, Message};
use tracing::{debug, info, warn};

use crate::config::NatsConfig;

/// A dead server is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// The bus could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The settings do not describe a connection.
    #[error("the credentials for nats cannot be read")]
    Credentials(#[source] std::io::Error),
    /// No server answered.
    #[error("nats at {url} cannot be reached: start it, or set HOLDFAST_NATS__URL")]
    Connect {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: async_nats::ConnectError,
    },
}

/// A request was not answered as hoped. Only [`RequestError::TimedOut`] and [`RequestError::Closed`] leave open what happened.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens there: nothing happened.
    #[error("nobody answers there")]
    NoResponders,
    /// No answer came in time: whether it was carried out is unknown.
    #[error("no answer came in time")]
    TimedOut,
    /// It was refused, and the answer says why.
    #[error("{}", .0.error.message)]
    Refused(ErrorReply),
    /// The answer is not what belongs to the question.
    #[error("the answer cannot be understood")]
    Malformed(#[source] DecodeError),
    /// The connection cannot carry it.
    #[error("the connection to nats is closed: {0}")]
    Closed(String),
}

impl RequestError {
    /// A refusal of one's own making, for services that refuse.
    #[must_use]
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Refused(ErrorReply::new(None, code, message))
    }
}

/// A connection to NATS.
#[derive(Debug, Clone)]
pub struct Bus {
    client: async_nats::Client,
    jetstream: jetstream::Context,
}

impl Bus {
    /// Connects, and goes on trying for as long as it takes: the services of a system start in any order.
    ///
    /// # Errors
    /// When the credentials cannot be read, or the address makes no sense.
    pub async fn connect(config: &NatsConfig, name: &str) -> Result<Self, BusError> {
        let options = options(config, name).await?;
        let addresses: Vec<_> = config.url.split(',').map(str::trim).collect();
        let client = options
            .connect(addresses)
            .await
            .map_err(|source| BusError::Connect { url: config.url.clone(), source })?;
        wait_connected(&client).await;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(Duration::from_millis(config.request_timeout_ms));
        Ok(Self { client, jetstream })
    }

    /// The plain client.
    #[must_use]
    pub fn client(&self) -> &async_nats::Client {
        &self.client
    }

    /// JetStream.
    #[must_use]
    pub fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request<Q: Message, R: Message>(&self, subject: String, question: &Q, timeout: Duration) -> Result<R, RequestError> {
        let request = async_nats::Request::new().payload(question.encode().into()).timeout(Some(timeout));
        let answer = self.client.send_request(subject, request).await.map_err(|error| match error.kind() {
            async_nats::RequestErrorKind::NoResponders => RequestError::NoResponders,
            async_nats::RequestErrorKind::TimedOut => RequestError::TimedOut,
            _ => RequestError::Closed(error.to_string()),
        })?;
        match decode_reply::<R>(&answer.payload) {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(refused)) => Err(RequestError::Refused(refused)),
            Err(error) => Err(RequestError::Malformed(error)),
        }
    }
}

async fn wait_connected(client: &async_nats::Client) {
    // The first connection is made in the background when it cannot be made at once.
    while client.connection_state() != async_nats::connection::State::Connected {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn options(config: &NatsConfig, name: &str) -> Result<async_nats::ConnectOptions, BusError> {
    let mut options = async_nats::ConnectOptions::new()
        .name(name)
        .ping_interval(PING_INTERVAL)
        .retry_on_initial_connect()
        .reconnect_delay_callback(|attempts| Duration::from_millis((10 << attempts.min(6)).min(500)))
        .event_callback(|event| async move {
            match event {
                async_nats::Event::Connected => info!("connected to nats"),
                async_nats::Event::Disconnected => warn!("the connection to nats is lost, trying again"),
                async_nats::Event::SlowConsumer(_) => warn!("messages were dropped because they were read too slowly"),
                other => debug!(event = %other, "nats"),
            }
        });
    if let (Some(user), Some(password)) = (&config.user, &config.password) {
        options = options.user_and_password(user.clone(), password.clone());
    }
    if let Some(token) = &config.token {
        options = options.token(token.clone());
    }
    if let Some(file) = &config.credentials_file {
        options = options.credentials_file(file).await.map_err(BusError::Credentials)?;
    }
    if let Some(file) = &config.tls_ca {
        options = options.add_root_certificates(file.clone());
    }
    if let Some(prefix) = &config.inbox_prefix {
        options = options.custom_inbox_prefix(prefix.clone());
    }
    Ok(options)
}
