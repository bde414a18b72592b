//! How the group's CSPs are watched: follows the definition of the group, so that this CSP says that it lives as often as the
//! supervisors expect it to.
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

/// First pause before the watch is set up again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Tells the policy of the group and each change of it, until the task is aborted.
pub async fn follow(context: jetstream::Context, group: String, told: watch::Sender<SupervisionPolicy>) {
    let mut pause = PAUSE_MIN;
    loop {
        match follow_once(&context, &group, &told).await {
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
    group: &str,
    told: &watch::Sender<SupervisionPolicy>,
) -> Result<(), BoxError> {
    let bucket = context.get_key_value(subject::definitions_bucket()).await?;
    let mut entries = bucket.watch_with_history(group).await?;
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        if entry.operation != Operation::Put {
            continue;
        }
        match GroupDefinition::decode(&entry.value) {
            Ok(definition) => tell(definition.supervision, group, told),
            Err(error) => warn!(group, %error, "the definition cannot be read: the policy stays as it was"),
        }
    }
    Ok(())
}

fn tell(policy: SupervisionPolicy, group: &str, told: &watch::Sender<SupervisionPolicy>) {
    let is_news = told.send_if_modified(|known| std::mem::replace(known, policy) != policy);
    if is_news {
        info!(group, heartbeat_interval_ms = policy.heartbeat_interval_ms, "another policy of supervision");
    }
}
