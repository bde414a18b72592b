//! Follows a key-value bucket for ever: opens it, makes it if it is ours to make, tells what it holds and what changes, and
//! notices when it was deleted and made anew, which a watch alone does not tell for a long time.

use async_nats::jetstream::kv::{self, Entry, Store};
use async_nats::{datetime::DateTime, jetstream};
use futures::StreamExt;
use std::error::Error;
use std::time::Duration;

/// First pause before a bucket is opened again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often it is checked that the bucket is still the one that was opened.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What is told of a bucket.
pub enum News {
    /// It can be used.
    Opened(Box<Store>),
    /// It is not the one that it was: what that one held is gone.
    Replaced,
    /// An entry was there, was written or was deleted.
    Entry(Box<Entry>),
    /// Everything that was there has been told.
    Complete,
}

/// Why a bucket cannot be followed for now.
#[derive(Debug, thiserror::Error)]
enum BucketError {
    #[error("the bucket cannot be opened")]
    Open(#[source] Box<dyn Error + Send + Sync>),
    #[error("the bucket cannot be watched")]
    Watch(#[source] Box<dyn Error + Send + Sync>),
}

/// A bucket to be followed.
pub struct Bucket {
    jetstream: jetstream::Context,
    name: String,
    /// With how many replicas it is made; none if others make it.
    replicas: Option<usize>,
}

impl Bucket {
    /// A bucket that others make.
    pub fn of_others(jetstream: jetstream::Context, name: String) -> Self {
        Self { jetstream, name, replicas: None }
    }

    /// A bucket that is made here where it is missing.
    pub fn of_ours(jetstream: jetstream::Context, name: String, replicas: usize) -> Self {
        Self { jetstream, name, replicas: Some(replicas) }
    }

    /// Follows it for ever.
    pub async fn follow(self, tell: impl Fn(News)) {
        let mut known = None;
        let mut pause = PAUSE_MIN;
        loop {
            match self.follow_once(&mut known, &tell).await {
                Ok(()) => pause = PAUSE_MIN,
                Err(error) => {
                    tracing::debug!(bucket = self.name, error = &error as &dyn Error, "a bucket is not followed");
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn follow_once(&self, known: &mut Option<DateTime>, tell: &impl Fn(News)) -> Result<(), BucketError> {
        let store = self.open().await?;
        let info = store.stream.get_info().await.map_err(open_error)?;
        // Its birth tells a bucket from a later one of the same name.
        if known.replace(info.created).is_some_and(|known| known != info.created) {
            tell(News::Replaced);
        }
        tell(News::Opened(Box::new(store.clone())));
        let mut watch = store.watch_with_history(">").await.map_err(watch_error)?;
        // An empty bucket sends no marker for "this was all".
        if info.state.messages == 0 {
            tell(News::Complete);
        }
        let mut checks = tokio::time::interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                entry = watch.next() => match entry {
                    Some(entry) => tell_entry(entry.map_err(watch_error)?, tell),
                    None => return Ok(()),
                },
                _ = checks.tick() => {
                    let now = store.stream.get_info().await.map_err(open_error)?;
                    if now.created != info.created {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn open(&self) -> Result<Store, BucketError> {
        match (self.jetstream.get_key_value(&self.name).await, self.replicas) {
            (Ok(store), _) => Ok(store),
            (Err(error), None) => Err(open_error(error)),
            (Err(_), Some(num_replicas)) => {
                let config =
                    kv::Config { bucket: self.name.clone(), history: 1, num_replicas, ..kv::Config::default() };
                self.jetstream.create_key_value(config).await.map_err(open_error)
            }
        }
    }
}

fn tell_entry(entry: Entry, tell: &impl Fn(News)) {
    let is_last = entry.seen_current;
    tell(News::Entry(Box::new(entry)));
    if is_last {
        tell(News::Complete);
    }
}

fn open_error(error: impl Into<Box<dyn Error + Send + Sync>>) -> BucketError {
    BucketError::Open(error.into())
}

fn watch_error(error: impl Into<Box<dyn Error + Send + Sync>>) -> BucketError {
    BucketError::Watch(error.into())
}
