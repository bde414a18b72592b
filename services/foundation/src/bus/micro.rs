//! Shows a process in NATS' own service protocol, so that `nats micro ls`, `info` and `stats` list it.
//!
//! Only discovery is used: requests have queue groups of their own, which the protocol's endpoints would split. The client
//! library's service answers wherever it is told to, so the three questions are answered here, like any other request.

use std::time::{Duration, SystemTime};

use holdfast_schemas::subject;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tracing::warn;

use super::Bus;
use crate::clock::wall_ms;

/// A process that is shown, for as long as this lives.
#[derive(Debug)]
pub struct Registered {
    _answering: JoinSet<()>,
}

/// Shows the process under `holdfast-<service>` for as long as the result lives.
///
/// # Errors
/// When a subscription of the protocol is refused.
pub async fn register(bus: &Bus, service: &str) -> Result<Registered, async_nats::SubscribeError> {
    let (name, id) = (format!("holdfast-{service}"), ulid::Ulid::generate().to_string());
    let mut answering = JoinSet::new();
    for (verb, answer) in answers(service, &name, &id) {
        let body = answer.to_string();
        for asked in [&[][..], &[name.as_str()], &[name.as_str(), id.as_str()]] {
            let mut requests = bus.requests(subject::discovery(verb, asked)).await?;
            let (client, body) = (bus.client().clone(), body.clone());
            answering.spawn(async move {
                while let Some(request) = requests.next().await {
                    let Some(reply) = request.reply else { continue };
                    if let Err(error) = client.publish(reply, body.clone().into()).await {
                        warn!(%error, "an answer could not be handed to the connection");
                    }
                }
            });
        }
    }
    Ok(Registered { _answering: answering })
}

/// Verbs and what is said to them (NATS' architecture decision record 32).
fn answers(service: &str, name: &str, id: &str) -> [(&'static str, Value); 3] {
    let version = env!("CARGO_PKG_VERSION");
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(wall_ms());
    let answer = |kind: &str, mut more: Value| {
        let common = [("name", name), ("id", id), ("version", version)];
        more["type"] = format!("io.nats.micro.v1.{kind}_response").into();
        common.into_iter().for_each(|(field, value)| more[field] = value.into());
        more
    };
    let description = format!("Holdfast {service}");
    let started = humantime::format_rfc3339_seconds(started).to_string();
    [
        ("PING", answer("ping", json!({ "metadata": {} }))),
        ("INFO", answer("info", json!({ "description": description, "metadata": {}, "endpoints": [] }))),
        ("STATS", answer("stats", json!({ "started": started, "metadata": {}, "endpoints": [] }))),
    ]
}
