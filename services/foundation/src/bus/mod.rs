//! The bus: NATS, with typed messages and the three outcomes that a call over a network has.

pub mod log_stream;
pub mod micro;
pub mod pauses;
pub mod requests;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use futures::StreamExt;
use holdfast_schemas::message::{ErrorReply, decode_reply};
use holdfast_schemas::{DecodeError, ErrorCode, Message};
use tracing::{debug, info, warn};

use self::requests::{ReplyPrefixError, ReplyRule, Requests};
use crate::BoxError;
use crate::config::NatsConfig;

/// A dead server is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How long what was sent may take to come back before it is sent once more.
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// Between two attempts to reach a first server.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// The bus could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The settings do not describe a connection.
    #[error("the credentials for nats cannot be read")]
    Credentials(#[source] std::io::Error),
    /// The settings say of no inbox, or of too much, that it is answered.
    #[error(transparent)]
    ReplyPrefix(#[from] ReplyPrefixError),
    /// The address makes no sense, or the server refuses us.
    #[error("nats at {url} cannot be used: correct HOLDFAST_NATS__URL, or the credentials")]
    Connect {
        /// The address, without credentials.
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
    replies: Arc<ReplyRule>,
}

impl Bus {
    /// Connects, and goes on trying for as long as it takes: the services of a system start in any order. A server that
    /// refuses us is an error at once, because waiting does not mend credentials.
    ///
    /// # Errors
    /// When the credentials cannot be read or are refused, or the address makes no sense.
    pub async fn connect(config: &NatsConfig, name: &str) -> Result<Self, BusError> {
        let replies = Arc::new(ReplyRule::new(config)?);
        let client = connect(config, name).await?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(Duration::from_millis(config.request_timeout_ms));
        Ok(Self { client, jetstream, replies })
    }

    /// Takes what others ask on a subject: every subject on which requests come is subscribed to in this way, so that no
    /// request is begun whose answer would go where only this service may publish.
    ///
    /// # Errors
    /// When the subscription is refused.
    pub async fn requests(&self, subject: String) -> Result<Requests, async_nats::SubscribeError> {
        Ok(Requests::new(self.client.subscribe(subject).await?, Arc::clone(&self.replies)))
    }

    /// The same, shared with the other instances of a queue group.
    ///
    /// # Errors
    /// When the subscription is refused.
    pub async fn queue_requests(&self, subject: String, queue: String) -> Result<Requests, async_nats::SubscribeError> {
        Ok(Requests::new(self.client.queue_subscribe(subject, queue).await?, Arc::clone(&self.replies)))
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

    /// Waits until the server has taken in everything that was sent so far, subscriptions included. Flushing only hands it to
    /// the socket: who says "ready" then can be asked before the server knows that somebody listens.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn settle(&self) -> Result<(), BoxError> {
        let inbox = self.client.new_inbox();
        let mut back = self.client.subscribe(inbox.clone()).await?;
        loop {
            // A connection's commands are carried out in their order, so what comes back was behind all of them.
            self.client.publish(inbox.clone(), Bytes::new()).await?;
            // Lost with the connection: the subscriptions are made again on the next one, and so is the question.
            match tokio::time::timeout(SETTLE_PAUSE, back.next()).await {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => return Err("the connection to nats is closed".into()),
                Err(_) => {}
            }
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request<Q: Message, R: Message>(
        &self,
        subject: String,
        question: &Q,
        timeout: Duration,
    ) -> Result<R, RequestError> {
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

/// The client's own waiting for a first server gives up silently when it is refused, so it is done here.
async fn connect(config: &NatsConfig, name: &str) -> Result<async_nats::Client, BusError> {
    let addresses: Vec<_> = config.url.split(',').map(str::trim).collect();
    let mut told = false;
    loop {
        match options(config, name).await?.connect(addresses.clone()).await {
            Ok(client) => return Ok(client),
            Err(source) if is_final(source.kind()) => {
                return Err(BusError::Connect { url: config.shown_url(), source });
            }
            Err(error) if !told => {
                info!(url = config.shown_url(), %error, "waiting for nats");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

fn is_final(kind: async_nats::ConnectErrorKind) -> bool {
    use async_nats::ConnectErrorKind::{Authentication, AuthorizationViolation, ServerParse, Tls};
    matches!(kind, Authentication | AuthorizationViolation | ServerParse | Tls)
}

async fn options(config: &NatsConfig, name: &str) -> Result<async_nats::ConnectOptions, BusError> {
    let mut options = async_nats::ConnectOptions::new()
        .name(name)
        .ping_interval(PING_INTERVAL)
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
