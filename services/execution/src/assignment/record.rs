//! Writes assignments down: into the bucket first, by compare-and-set; then, for the task of being primary, into the log; and
//! as an event for those who listen.
//!
//! An epoch entry is written without an expected position, since it may stand anywhere: what counts is its number. It bears
//! a message id, so that JetStream keeps one of several that say the same within its window; later ones are void.

use crate::model::assignment::assigner::Write;
use crate::model::assignment::group::LogEpoch;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::kv::{Operation, Store, UpdateError, UpdateErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode as StreamErrorCode};
use holdfast_foundation::bus::Bus;
use holdfast_schemas::message::{Assignment, LogControl};
use holdfast_schemas::{Message, subject};
use std::error::Error;

/// An assignment as the bucket holds it, with its revision.
pub type Found = Option<(Assignment, u64)>;

/// How a write ended.
pub enum Outcome {
    /// The bucket holds it under this revision.
    Written(u64),
    /// Somebody else wrote before.
    Lost(Found),
    /// Whether it was written, or will be, is not known.
    Unknown(Found),
    /// Nothing was written: there is no bucket.
    Missing,
}

/// Writes an assignment into the bucket.
pub async fn write(store: &Store, write: &Write) -> Outcome {
    let key = subject::assignment_key(&write.assignment.group, &write.assignment.task);
    let error = match store.update(&key, write.assignment.encode().into(), write.revision).await {
        Ok(revision) => return Outcome::Written(revision),
        Err(error) => error,
    };
    if is_missing(&error) {
        return Outcome::Missing;
    }
    // The watch tells too, perhaps later; and where our own answer was lost, this is how we learn that we have written.
    match (find(store, &key).await, is_lost(&error)) {
        (Some((assignment, revision)), _) if assignment == write.assignment => Outcome::Written(revision),
        (found, true) => Outcome::Lost(found),
        (found, false) => {
            tracing::warn!(key, error = &error as &dyn Error, "whether an assignment was written is not known");
            Outcome::Unknown(found)
        }
    }
}

async fn find(store: &Store, key: &str) -> Found {
    let entry = store.entry(key).await.ok()?.filter(|entry| entry.operation == Operation::Put)?;
    Some((Assignment::decode(&entry.value).ok()?, entry.revision))
}

/// There are two codes for a lost race, and the client library knows one of them.
fn is_lost(error: &UpdateError) -> bool {
    let constant = |code| code == StreamErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT;
    error.kind() == UpdateErrorKind::WrongLastRevision
        || cause::<jetstream::Error>(error).is_some_and(|cause| constant(cause.error_code()))
}

fn is_missing(error: &UpdateError) -> bool {
    cause::<PublishError>(error).is_some_and(|cause| cause.kind() == PublishErrorKind::StreamNotFound)
}

/// The first cause of that type.
fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// Tells the log, where it must know, and whoever listens. If the log does not answer, the reconciling says it again.
pub async fn tell(bus: &Bus, write: &Write) {
    let assignment = &write.assignment;
    let event = subject::event(&assignment.group, subject::EVENT_ASSIGNMENT);
    let primary = assignment.csp.as_ref().filter(|_| write.announce);
    let told = primary.map(|primary| LogEpoch { epoch: assignment.epoch, primary: primary.clone() });
    let (_, published) = tokio::join!(
        async {
            if let Some(log) = told {
                announce(bus, &assignment.group, log).await;
            }
        },
        bus.client().publish(event, assignment.encode().into())
    );
    if let Err(error) = published {
        tracing::warn!(%error, "the event could not be published; the bucket holds the assignment");
    }
}

/// Writes an epoch into the log.
pub async fn announce(bus: &Bus, group: &str, log: LogEpoch) {
    let id = format!("epoch-{}-{}", log.epoch, log.primary);
    let entry = LogControl::Epoch { epoch: log.epoch, primary: log.primary };
    let message = PublishMessage::build().payload(entry.encode().into()).message_id(id);
    let acknowledged = match bus.jetstream().send_publish(subject::log(group), message).await {
        Ok(ack) => ack.await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = acknowledged {
        tracing::warn!(group, epoch = log.epoch, error = &error as &dyn Error, "the log did not take the epoch yet");
    }
}
