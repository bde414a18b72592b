//! Learns from the definitions bucket who is to be watched, and how patiently; the watch is set up again whenever it ends.

use crate::watch::Membership;
use async_nats::jetstream;
use async_nats::jetstream::kv::{Entry, Operation};
use futures::StreamExt;
use holdfast_schemas::message::{GroupDefinition, SupervisionPolicy};
use holdfast_schemas::{Message, subject};
use std::time::Duration;
use tokio::sync::mpsc;

/// First pause before the watch is set up again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sends every group that is defined, and each change, until nobody listens.
pub async fn follow(jetstream: jetstream::Context, memberships: mpsc::UnboundedSender<Membership>) {
    let mut pause = PAUSE_MIN;
    while !memberships.is_closed() {
        match follow_once(&jetstream, &memberships).await {
            Ok(()) => pause = PAUSE_MIN,
            Err(error) => {
                tracing::debug!(%error, "the definitions are not watched");
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

async fn follow_once(
    jetstream: &jetstream::Context,
    memberships: &mpsc::UnboundedSender<Membership>,
) -> Result<(), BoxError> {
    let bucket = jetstream.get_key_value(subject::definitions_bucket()).await?;
    let mut watch = bucket.watch_with_history(">").await?;
    while let Some(entry) = watch.next().await {
        if let Some(membership) = membership(&entry?)
            && memberships.send(membership).is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

fn membership(entry: &Entry) -> Option<Membership> {
    if entry.operation != Operation::Put {
        let (csps, policy) = (Vec::new(), SupervisionPolicy::default());
        return Some(Membership { group: entry.key.clone(), csps, policy });
    }
    match GroupDefinition::decode(&entry.value) {
        Ok(definition) => {
            let GroupDefinition { name, csps, supervision, .. } = definition;
            Some(Membership { group: name, csps, policy: supervision })
        }
        Err(error) => {
            tracing::error!(group = entry.key, %error, "a definition cannot be read and is left out");
            None
        }
    }
}
