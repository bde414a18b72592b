//! The stream that holds a group's log, set up so that nothing is lost silently.
//!
//! File storage; replicas as the group asks; full means "refuse new", never "drop old"; no age, count or size limit; no
//! single message can be deleted. Purging is not denied by the stream, for the day that the log is trimmed; today no user has the
//! permission (see `deploy/nats/README.md`).

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use holdfast_schemas::{limits, subject};

/// The stream could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogStreamError {
    /// JetStream refused or did not answer. Nothing is harmed; try again.
    #[error("the log stream {stream} cannot be created")]
    Create {
        /// Its name.
        stream: String,
        /// Why.
        #[source]
        source: jetstream::context::CreateStreamError,
    },
    /// A stream of this name exists and could lose entries. It was not changed; correct it, or choose another group name.
    #[error("the stream {stream} exists and is not safe for a log: {reason}")]
    Unsafe {
        /// Its name.
        stream: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Creates the log stream of `group`, or checks the one that is there.
///
/// # Errors
/// See [`LogStreamError`].
pub async fn ensure(
    jetstream: &jetstream::Context,
    group: &str,
    replicas: usize,
) -> Result<stream::Stream, LogStreamError> {
    let wanted = configuration(group, replicas);
    let name = wanted.name.clone();
    let stream = jetstream
        .get_or_create_stream(wanted)
        .await
        .map_err(|source| LogStreamError::Create { stream: name.clone(), source })?;
    match weakness(&stream.cached_info().config, group, replicas) {
        Some(reason) => Err(LogStreamError::Unsafe { stream: name, reason }),
        None => Ok(stream),
    }
}

fn configuration(group: &str, replicas: usize) -> stream::Config {
    stream::Config {
        name: subject::log_stream(group),
        subjects: vec![subject::log(group)],
        retention: stream::RetentionPolicy::Limits,
        discard: stream::DiscardPolicy::New,
        storage: stream::StorageType::File,
        num_replicas: replicas,
        duplicate_window: Duration::from_millis(limits::LOG_DUPLICATE_WINDOW_MS),
        deny_delete: true,
        deny_purge: false,
        allow_direct: true,
        ..stream::Config::default()
    }
}

/// What makes an existing stream unfit to be a log.
fn weakness(config: &stream::Config, group: &str, replicas: usize) -> Option<&'static str> {
    let checks = [
        (config.storage == stream::StorageType::File, "it is kept in memory"),
        (config.retention == stream::RetentionPolicy::Limits, "it deletes what was read"),
        (config.discard == stream::DiscardPolicy::New, "it drops old entries when it is full"),
        (config.max_age.is_zero(), "its entries expire"),
        (
            config.max_messages <= 0 && config.max_bytes <= 0 && config.max_messages_per_subject <= 0,
            "it has a size limit",
        ),
        (config.subjects == [subject::log(group)], "it holds other subjects"),
        (!config.allow_message_ttl, "its entries may say when they expire"),
        (config.deny_delete, "single entries can be deleted"),
        (!config.allow_rollup, "an entry may replace those before it"),
        (
            config.mirror.is_none() && config.sources.as_ref().is_none_or(Vec::is_empty),
            "it takes entries from other streams",
        ),
        (config.subject_transform.is_none(), "it changes subjects"),
        (!config.no_ack, "it acknowledges nothing"),
        (config.persist_mode != Some(stream::PersistenceMode::Async), "it acknowledges before it has stored"),
        (!config.sealed, "it is sealed"),
        (config.num_replicas >= replicas, "it has fewer replicas than the group asks for"),
    ];
    checks.iter().find(|(holds, _)| !holds).map(|(_, reason)| *reason)
}

/// By what setting a stream drops entries that it once took; none if it drops none. A stream that was made safe may be changed later.
#[must_use]
pub fn drops(config: &stream::Config) -> Option<&'static str> {
    let refuses_new = config.discard == stream::DiscardPolicy::New;
    let checks = [
        (config.retention == stream::RetentionPolicy::Limits, "it deletes what was read"),
        (config.max_age.is_zero(), "its entries expire: max_age"),
        (refuses_new || config.max_messages <= 0, "it keeps the newest ones only: max_msgs"),
        (refuses_new || config.max_bytes <= 0, "it keeps the newest ones only: max_bytes"),
        (
            (refuses_new && config.discard_new_per_subject) || config.max_messages_per_subject <= 0,
            "it keeps the newest ones only: max_msgs_per_subject",
        ),
    ];
    checks.iter().find(|(holds, _)| !holds).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_created_is_safe_and_what_could_lose_entries_is_not() {
        let safe = configuration("shop", 3);
        assert_eq!(weakness(&safe, "shop", 3), None);
        assert!(weakness(&safe, "shop", 5).is_some());
        let expiring = stream::Config { max_age: Duration::from_secs(1), ..safe.clone() };
        assert_eq!(weakness(&expiring, "shop", 3), Some("its entries expire"));
        let dropping = stream::Config { discard: stream::DiscardPolicy::Old, ..safe.clone() };
        assert!(weakness(&dropping, "shop", 3).is_some());
        assert!(weakness(&safe, "other", 3).is_some());
    }

    #[test]
    fn a_limit_drops_entries_unless_it_refuses_new_ones() {
        let safe = configuration("shop", 1);
        let full = stream::Config { max_messages: 3, max_bytes: 1 << 20, ..safe.clone() };
        for keeps in [&safe, &full, &stream::Config { discard: stream::DiscardPolicy::Old, ..safe.clone() }] {
            assert_eq!(drops(keeps), None, "{keeps:?}");
        }
        let by_subject = stream::Config { max_messages_per_subject: 3, ..safe.clone() };
        assert_eq!(drops(&stream::Config { discard_new_per_subject: true, ..by_subject.clone() }), None);
        for (config, setting) in [
            (by_subject, "max_msgs_per_subject"),
            (stream::Config { max_age: Duration::from_secs(60), ..safe.clone() }, "max_age"),
            (stream::Config { max_messages: 3, discard: stream::DiscardPolicy::Old, ..safe.clone() }, "max_msgs"),
            (stream::Config { max_bytes: 3, discard: stream::DiscardPolicy::Old, ..safe }, "max_bytes"),
        ] {
            assert!(drops(&config).is_some_and(|told| told.ends_with(setting)), "{config:?}");
        }
    }
}
