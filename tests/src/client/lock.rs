//! Explicit locks, as an application would use them.

use std::time::Duration;

use holdfast_schemas::subject;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Client, RETRY_PAUSE};

/// How long after its deadline an answer is awaited.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

impl Client {
    /// Waits for a lock for `deadline`, and gives its token; none if somebody else held it all the time. Asks again under the
    /// same id for as long as it is not told, `patience` at most.
    pub async fn acquire(
        &self,
        name: &str,
        lease: Duration,
        deadline: Duration,
        patience: Duration,
    ) -> anyhow::Result<Option<u64>> {
        let (lease_ms, deadline_ms) = (lease.as_millis() as u64, deadline.as_millis() as u64);
        let id = ulid::Ulid::generate().to_string();
        let body = json!({ "id": id, "name": name, "lease_ms": lease_ms, "deadline_ms": deadline_ms });
        let end = Instant::now() + patience;
        loop {
            let told = self.answer(subject::lock(&self.group, "acquire"), &body, deadline + ANSWER_MARGIN).await;
            match &told {
                Ok(reply) if reply["token"].is_u64() => return Ok(reply["token"].as_u64()),
                Ok(reply) if reply["error"]["code"] == "lock_held" => return Ok(None),
                Ok(reply) if reply["error"]["retryable"] == true => {}
                Ok(reply) => anyhow::bail!("the lock {name} was refused: {reply}"),
                Err(_) => {}
            }
            anyhow::ensure!(Instant::now() < end, "the lock {name} was asked for in vain: {told:?}");
            sleep(RETRY_PAUSE).await;
        }
    }

    /// Gives a lock back, once. If that does not arrive, its lease ends.
    pub async fn release(&self, name: &str, token: u64, patience: Duration) -> anyhow::Result<Value> {
        let body = json!({ "name": name, "token": token });
        self.answer(subject::lock(&self.group, "release"), &body, patience).await
    }
}
