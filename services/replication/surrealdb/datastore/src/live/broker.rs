//! Where SurrealDB leaves the notifications of a committed write.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use surrealdb_core::dbs::{MessageBroker, RoutedNotification};
use surrealdb_types::{Notification, SurrealValue};
use tracing::warn;

use super::hub::Hub;

/// Carries notifications to other copies.
pub trait LiveRouter: Send + Sync + 'static {
    /// Sends `notification` to the copy that runs as `node_id`. Must not block; what cannot be sent is dropped.
    fn send(&self, node_id: [u8; 16], notification: Bytes);
}

/// Hands notifications to the streams of this copy, or to the router.
pub(crate) struct Broker {
    node_id: [u8; 16],
    hub: Arc<Hub>,
    router: OnceLock<Arc<dyn LiveRouter>>,
}

impl Broker {
    pub(crate) fn new(node_id: [u8; 16], hub: Arc<Hub>) -> Self {
        Self { node_id, hub, router: OnceLock::new() }
    }

    pub(crate) fn route_with(&self, router: Arc<dyn LiveRouter>) {
        // A second router would be a second service on one datastore; the first one stands.
        let _ = self.router.set(router);
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Takes what another copy's broker sent.
    pub(crate) fn deliver(&self, notification: &[u8]) {
        match surrealdb_types::decode::<Notification>(notification) {
            Ok(notification) => self.hub.publish(notification),
            Err(cause) => warn!(error = %cause, "a live notification cannot be read and is dropped"),
        }
    }

    fn pass_on(&self, node_id: [u8; 16], notification: Notification) {
        let Some(router) = self.router.get() else { return };
        // SurrealDB's own encoding: JSON would lose what JSON has no word for.
        match surrealdb_types::encode(&notification.into_value()) {
            Ok(encoded) => router.send(node_id, Bytes::from(encoded)),
            Err(cause) => warn!(error = %cause, "a live notification cannot be encoded and is dropped"),
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl MessageBroker for Broker {
    fn should_emit(&self, _node_id: [u8; 16], target_node: [u8; 16]) -> anyhow::Result<bool> {
        Ok(target_node == self.node_id || self.router.get().is_some())
    }

    fn send(&self, item: RoutedNotification) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let target = item.target_node_bytes();
            if target == self.node_id {
                self.hub.publish(item.into_notification());
            } else {
                self.pass_on(target, item.into_notification());
            }
        })
    }
}
