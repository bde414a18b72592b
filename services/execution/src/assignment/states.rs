//! Reads what supervision concluded, from its bucket: what was said before we listened, and what was lost on the way.

use super::Learnt;
use async_nats::jetstream::{self, kv::Store};
use futures::future::join_all;
use holdfast_schemas::message::CspStateChange;
use holdfast_schemas::{Message, subject};
use tokio::sync::mpsc;

/// Reads the states of these CSPs, each a group and a name, and tells them. What cannot be read is asked for next time.
pub async fn read(
    jetstream: jetstream::Context,
    csps: Vec<(String, String)>,
    asked_at_ms: u64,
    learn: mpsc::UnboundedSender<Learnt>,
) {
    let Ok(bucket) = jetstream.get_key_value(subject::states_bucket()).await else {
        return;
    };
    let read = csps.iter().map(|(group, csp)| read_one(&bucket, group, csp));
    for change in join_all(read).await.into_iter().flatten() {
        // Nobody listens any more when the service ends.
        let _ = learn.send(Learnt::State { change: Box::new(change), asked_at_ms });
    }
}

async fn read_one(bucket: &Store, group: &str, csp: &str) -> Option<CspStateChange> {
    let value = bucket.get(subject::state_key(group, csp)).await.ok()??;
    CspStateChange::decode(&value).ok()
}
