//! The stream that keeps the events of all groups, so that it can be read later who was declared what, when and why.
//!
//! Events are published as they are in any case; the stream only keeps them. It is made in the background, because nothing else
//! may wait for it, and one that is there is not changed: an operator may have had reasons.

use async_nats::jetstream::{self, stream};
use holdfast_schemas::subject;
use std::time::Duration;

/// How long events are kept.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How much of them is kept; the oldest go first.
const MAX_BYTES: i64 = 64 * 1024 * 1024;

/// First pause after JetStream was not there; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Makes the stream, or looks at the one that is there; tries until JetStream answers.
pub async fn keep(jetstream: jetstream::Context, replicas: usize) {
    let mut pause = PAUSE_MIN;
    loop {
        match jetstream.get_or_create_stream(configuration(replicas)).await {
            Ok(stream) => {
                if let Some(weakness) = weakness(&stream.cached_info().config) {
                    tracing::warn!(stream = subject::events_stream(), weakness, "events may not be kept");
                }
                return;
            }
            Err(error) => tracing::debug!(%error, "the stream of events cannot be made yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn configuration(replicas: usize) -> stream::Config {
    stream::Config {
        name: subject::events_stream(),
        subjects: vec![subject::all_events()],
        retention: stream::RetentionPolicy::Limits,
        discard: stream::DiscardPolicy::Old,
        storage: stream::StorageType::File,
        max_age: MAX_AGE,
        max_bytes: MAX_BYTES,
        num_replicas: replicas,
        allow_direct: true,
        ..stream::Config::default()
    }
}

/// What keeps an existing stream from keeping events.
fn weakness(config: &stream::Config) -> Option<&'static str> {
    let checks = [
        (config.subjects.contains(&subject::all_events()), "it does not hold the events of all groups"),
        (config.storage == stream::StorageType::File, "it is kept in memory"),
        (config.retention == stream::RetentionPolicy::Limits, "it deletes what was read"),
        (config.discard == stream::DiscardPolicy::Old, "it refuses new events when it is full"),
        (!config.sealed, "it is sealed"),
    ];
    checks.iter().find(|(holds, _)| !holds).map(|(_, weakness)| *weakness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_keeps_events_and_a_stream_that_does_not_is_named() {
        let made = configuration(1);
        assert_eq!(weakness(&made), None);
        let volatile = stream::Config { storage: stream::StorageType::Memory, ..made.clone() };
        assert_eq!(weakness(&volatile), Some("it is kept in memory"));
        let other = stream::Config { subjects: vec!["other".to_owned()], ..made };
        assert!(weakness(&other).is_some());
    }
}
