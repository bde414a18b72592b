//! How the group's CSPs are watched: follows the definition of the group, so that this CSP says that it lives as often as the
//! supervisors expect it to; and says when it is not one of the group's CSPs.
//!
//! Until the definition has been read, and where it cannot be, the last that was known holds, at first the default: supervisors
//! that expect a heartbeat sooner ask, and are answered.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::kv::Operation;
use futures::StreamExt;
use holdfast_schemas::message::{GroupDefinition, SupervisionPolicy};
use holdfast_schemas::{Message as _, subject};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::BoxError;
use crate::member::Identity;

/// First pause before the watch is set up again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Tells the policy of the group and each change of it, until the task is aborted.
pub async fn follow(context: jetstream::Context, identity: Identity, told: watch::Sender<SupervisionPolicy>) {
    let mut pause = PAUSE_MIN;
    let group = &identity.group;
    loop {
        match follow_once(&context, &identity, &told).await {
            Ok(()) => pause = PAUSE_MIN,
            Err(error) => {
                debug!(group, %error, "the definition is not watched");
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

async fn follow_once(
    context: &jetstream::Context,
    identity: &Identity,
    told: &watch::Sender<SupervisionPolicy>,
) -> Result<(), BoxError> {
    let group = &identity.group;
    let bucket = context.get_key_value(subject::definitions_bucket()).await?;
    let mut entries = bucket.watch_with_history(group).await?;
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        if entry.operation != Operation::Put {
            continue;
        }
        match GroupDefinition::decode(&entry.value) {
            Ok(definition) => {
                say_if_stranger(&definition, identity);
                tell(definition.supervision, group, told);
            }
            Err(error) => warn!(group, %error, "the definition cannot be read: the policy stays as it was"),
        }
    }
    Ok(())
}

/// A mistyped name harms nobody, and helps nobody: the copy follows the log, and the CSP that was meant is missing.
fn say_if_stranger(definition: &GroupDefinition, identity: &Identity) {
    let Identity { group, csp, .. } = identity;
    if !definition.csps.contains(csp) {
        warn!(
            group,
            csp,
            defined = definition.csps.join(", "),
            "the group's definition does not name this CSP, so it gets no requests and counts for nothing: is its name right in its \
             configuration?"
        );
    }
}

fn tell(policy: SupervisionPolicy, group: &str, told: &watch::Sender<SupervisionPolicy>) {
    let is_news = told.send_if_modified(|known| std::mem::replace(known, policy) != policy);
    if is_news {
        info!(group, heartbeat_interval_ms = policy.heartbeat_interval_ms, "another policy of supervision");
    }
}
