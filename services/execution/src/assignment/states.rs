//! Reads what supervision concluded, from its bucket: what was said before we listened, and what was lost on the way.

use super::Learnt;
use async_nats::jetstream::{self, kv::Store};
use futures::StreamExt;
use futures::stream;
use holdfast_schemas::message::CspStateChange;
use holdfast_schemas::{Message, subject};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How many states are asked for at a time: a node with a hundred CSPs must not mean a hundred questions at once.
const AT_A_TIME: usize = 8;
/// How long one answer is waited for. Who decides waits for what is told here, once.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Reads the states of these CSPs, each a group and a name, and tells them together, so that nobody decides by half of them. What
/// cannot be read is asked for next time.
pub(super) async fn read(
    jetstream: jetstream::Context,
    csps: Vec<(String, String)>,
    asked_at_ms: u64,
    learn: mpsc::UnboundedSender<Learnt>,
) {
    let changes = of(&jetstream, csps).await;
    // Nobody listens any more when the service ends.
    let _ = learn.send(Learnt::States { changes, asked_at_ms });
}

/// The states of these CSPs, as far as they can be read.
async fn of(jetstream: &jetstream::Context, csps: Vec<(String, String)>) -> Vec<CspStateChange> {
    let mut changes = Vec::new();
    each(jetstream, csps, |change| changes.push(change)).await;
    changes
}

/// Tells the states of these CSPs, each as soon as it is read.
pub async fn each(jetstream: &jetstream::Context, csps: Vec<(String, String)>, mut tell: impl FnMut(CspStateChange)) {
    let Ok(Ok(bucket)) = timeout(ANSWER_MAX, jetstream.get_key_value(subject::states_bucket())).await else {
        return;
    };
    let bucket = &bucket;
    let read = stream::iter(csps).map(|(group, csp)| async move { read_one(bucket, &group, &csp).await });
    let mut read = read.buffer_unordered(AT_A_TIME);
    while let Some(change) = read.next().await {
        change.into_iter().for_each(&mut tell);
    }
}

async fn read_one(bucket: &Store, group: &str, csp: &str) -> Option<CspStateChange> {
    let value = timeout(ANSWER_MAX, bucket.get(subject::state_key(group, csp))).await.ok()?.ok()??;
    CspStateChange::decode(&value).ok()
}
