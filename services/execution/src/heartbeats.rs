//! Feeds heartbeats into the routing table. They come on core NATS: a lost one is replaced by the next.

use crate::router::Router;
use async_nats::Subscriber;
use futures::StreamExt;
use holdfast_foundation::clock::Clock;
use holdfast_schemas::Message;
use holdfast_schemas::message::Heartbeat;
use std::sync::Arc;

/// Feeds until the subscription ends.
pub async fn follow(router: Arc<Router>, mut heartbeats: Subscriber, clock: Arc<dyn Clock>) {
    while let Some(message) = heartbeats.next().await {
        match Heartbeat::decode(&message.payload) {
            Ok(heartbeat) => {
                if !router.observe(&heartbeat, clock.monotonic_ms()) {
                    tracing::trace!(group = heartbeat.group, csp = heartbeat.csp, "heartbeat of an unknown CSP");
                }
            }
            Err(error) => tracing::debug!(subject = %message.subject, %error, "heartbeat cannot be read"),
        }
    }
}
