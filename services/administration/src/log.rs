//! Brings a group's log into being: the stream, and the entries that it begins with.
//!
//! Every entry is written with the position that it must get. If that place is taken, what stands there decides: the same
//! entry means that somebody (perhaps we, before a crash) did it already; another one means that the log is not ours.

use crate::definitions::lost_race;
use crate::model::bootstrap;
use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use holdfast_foundation::bus::log_stream;
use holdfast_schemas::message::GroupDefinition;
use holdfast_schemas::message::LogControl;
use holdfast_schemas::{Message, subject};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the log could not be brought into being.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The stream cannot be made, or is set up in an unsafe way.
    #[error("the log stream cannot be set up")]
    Stream(#[source] BoxError),
    /// The log begins with other entries: it belongs to another definition.
    #[error("stream {stream} begins with another definition at position {position}")]
    Foreign {
        /// The stream.
        stream: String,
        /// Where it differs.
        position: u64,
    },
    /// Whether an entry was written is not known. The same request again finds out.
    #[error("the log did not answer")]
    Unknown(#[source] BoxError),
}

/// Makes the stream and writes the first entries, or finds that both are there.
pub async fn begin(jetstream: &jetstream::Context, definition: &GroupDefinition) -> Result<(), LogError> {
    log_stream::ensure(jetstream, &definition.name, definition.log_replicas.into())
        .await
        .map_err(|error| LogError::Stream(error.into()))?;
    for (position, entry) in (1..).zip(bootstrap::first_entries(definition)) {
        write(jetstream, definition, position, &entry).await?;
    }
    Ok(())
}

async fn write(
    jetstream: &jetstream::Context,
    definition: &GroupDefinition,
    position: u64,
    entry: &LogControl,
) -> Result<(), LogError> {
    let message = PublishMessage::build().payload(entry.encode().into()).expected_last_sequence(position - 1);
    let sent = jetstream.send_publish(subject::log(&definition.name), message).await;
    let acknowledged = match sent {
        Ok(ack) => ack.await,
        Err(error) => Err(error),
    };
    match acknowledged {
        Ok(_) => Ok(()),
        Err(error) if lost_race(&error) => compare(jetstream, definition, position, entry).await,
        Err(error) => Err(LogError::Unknown(error.into())),
    }
}

async fn compare(
    jetstream: &jetstream::Context,
    definition: &GroupDefinition,
    position: u64,
    entry: &LogControl,
) -> Result<(), LogError> {
    let stream = subject::log_stream(&definition.name);
    let found = read(jetstream, &stream, position).await?;
    let same = found.is_some_and(|found| LogControl::decode(&found).is_ok_and(|found| found == *entry));
    if same { Ok(()) } else { Err(LogError::Foreign { stream, position }) }
}

/// The message at a position; none if it was trimmed.
async fn read(jetstream: &jetstream::Context, stream: &str, position: u64) -> Result<Option<Bytes>, LogError> {
    let unknown = |error: BoxError| LogError::Unknown(error);
    let stream = jetstream.get_stream(stream).await.map_err(|error| unknown(error.into()))?;
    match stream.get_raw_message(position).await {
        Ok(message) => Ok(Some(message.payload)),
        Err(error) if error.kind() == jetstream::stream::RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unknown(error.into())),
    }
}
