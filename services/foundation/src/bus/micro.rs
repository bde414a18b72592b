//! Registers a process with NATS' own service protocol, so that `nats micro ls`, `info` and `stats` show it.
//!
//! Only discovery is used: requests have queue groups of their own, which the protocol's endpoints would split.

use async_nats::service::{Service, ServiceExt};

use super::Bus;

/// Shows the process under `holdfast-<service>` for as long as the result lives.
///
/// # Errors
/// When the subscriptions of the protocol are refused.
pub async fn register(bus: &Bus, service: &str) -> Result<Service, async_nats::Error> {
    bus.client()
        .service_builder()
        .description(format!("Holdfast {service}"))
        .start(format!("holdfast-{service}"), env!("CARGO_PKG_VERSION"))
        .await
}
