//! Brings what is heard on core NATS to the router: heartbeats, verdicts of supervision, completion notes. A lost heartbeat is
//! replaced by the next; a lost verdict by missing heartbeats; a lost note by sending the request again under its id.

use crate::perform::Performer;
use crate::router::{Router, Task};
use async_nats::Subscriber;
use futures::StreamExt;
use holdfast_schemas::Message;

/// Hands every message of the subscription to `take`, until it ends.
pub async fn follow<M: Message>(
    performer: Performer,
    mut messages: Subscriber,
    take: impl Fn(&Router, &M, u64) -> Vec<Task>,
) {
    while let Some(message) = messages.next().await {
        match M::decode(&message.payload) {
            Ok(news) => {
                let tasks = take(&performer.router, &news, performer.clock.monotonic_ms());
                performer.perform(tasks).await;
            }
            Err(error) => tracing::debug!(subject = %message.subject, %error, "a message cannot be read"),
        }
    }
}
