//! An inbox that goes on listening: what comes after a request was answered, or after its client stopped waiting, is kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Outcome;

/// An answer that nobody waited for.
#[derive(Clone, Debug)]
pub struct LateAnswer {
    /// The id in it.
    pub id: String,
    /// When it came.
    pub at: Instant,
    /// What it says.
    pub outcome: Outcome,
}

/// No service answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// NATS says that nobody listens: nothing happened.
    #[error("no responders")]
    Nobody,
    /// It may have happened or not.
    #[error("{0}")]
    Silence(String),
}

/// Where answers go.
#[derive(Debug)]
pub(super) struct Inbox {
    prefix: String,
    sent: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
    late: Mutex<Vec<LateAnswer>>,
}

impl Inbox {
    pub(super) async fn open(nats: &async_nats::Client) -> anyhow::Result<Arc<Self>> {
        let prefix = nats.new_inbox();
        let subscriber = nats.subscribe(format!("{prefix}.*")).await?;
        let inbox =
            Arc::new(Self { prefix, sent: AtomicU64::new(0), waiting: Mutex::default(), late: Mutex::default() });
        tokio::spawn(Arc::clone(&inbox).listen(subscriber));
        Ok(inbox)
    }

    /// Sends, and waits for the first answer.
    pub(super) async fn exchange(
        &self,
        nats: &async_nats::Client,
        subject: String,
        body: Vec<u8>,
        patience: Duration,
    ) -> Result<Message, NoAnswer> {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        lock(&self.waiting).insert(number, answer);
        let exchange = async {
            let reply = format!("{}.{number}", self.prefix);
            let published = nats.publish_with_reply(subject, reply, body.into()).await;
            published.map_err(|error| NoAnswer::Silence(error.to_string()))?;
            answered.await.map_err(|error| NoAnswer::Silence(error.to_string()))
        };
        let answered = timeout(patience, exchange).await;
        lock(&self.waiting).remove(&number);
        match answered {
            Ok(Ok(message)) if message.status == Some(StatusCode::NO_RESPONDERS) => Err(NoAnswer::Nobody),
            Ok(answered) => answered,
            Err(_) => Err(NoAnswer::Silence("request timed out".to_owned())),
        }
    }

    /// Every answer that nobody waited for, once.
    pub(super) fn take_late(&self) -> Vec<LateAnswer> {
        std::mem::take(&mut lock(&self.late))
    }

    async fn listen(self: Arc<Self>, mut subscriber: Subscriber) {
        while let Some(message) = subscriber.next().await {
            let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
            let waiting = number.and_then(|number: u64| lock(&self.waiting).remove(&number));
            let late = match waiting {
                Some(waiting) => waiting.send(message).err(),
                None => Some(message),
            };
            // Who is told by NATS that nobody is there carries no id, and nothing to check.
            let Some(message) = late else { continue };
            let Ok(reply) = serde_json::from_slice::<Value>(&message.payload) else { continue };
            let id = reply["id"].as_str().unwrap_or_default().to_owned();
            let (at, outcome) = (Instant::now(), Outcome::decode(&message.payload));
            lock(&self.late).push(LateAnswer { id, at, outcome });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
