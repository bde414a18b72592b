//! What operators ask of a running system, and who leads the instances of execution.

use std::time::Duration;

use futures::StreamExt;
use holdfast_schemas::message::TASK_REPLICATION;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{GROUP, PATIENCE, System};
use crate::wait::until;

/// How long presences are listened to: longer than an instance that lives is silent.
const LISTEN: Duration = Duration::from_millis(600);

impl System {
    /// Asks execution to make another CSP the primary, and returns its answer.
    pub async fn move_primary(&self, csp: &str) -> anyhow::Result<Value> {
        self.move_task(TASK_REPLICATION, csp).await
    }

    /// Asks execution to give a task to another CSP, and returns its answer.
    pub async fn move_task(&self, task: &str, csp: &str) -> anyhow::Result<Value> {
        let body = json!({ "task": task, "csp": csp });
        self.client().ask(subject::assignment_move(GROUP), &body, PATIENCE).await
    }

    /// Asks a CSP to hand over what it holds and to take nothing new.
    pub async fn drain(&self, csp: &str) -> anyhow::Result<Value> {
        self.client().ask(subject::csp_control(GROUP, csp), &json!({ "action": "drain" }), PATIENCE).await
    }

    /// Who holds the task of being primary, as execution wrote it down.
    pub async fn assignment(&self) -> anyhow::Result<Value> {
        self.assignment_of(TASK_REPLICATION).await
    }

    /// Who holds a task, as execution wrote it down.
    pub async fn assignment_of(&self, task: &str) -> anyhow::Result<Value> {
        let context = async_nats::jetstream::new(self.client().nats().clone());
        let assignments = context.get_key_value(subject::assignments_bucket()).await?;
        let key = subject::assignment_key(GROUP, task);
        let bytes = assignments.get(key).await?.ok_or_else(|| anyhow::anyhow!("nobody was ever assigned"))?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// The process of the instance of execution that assigns tasks. Instances have names that no process is called by, so
    /// one process after the other is paused, until the one is found whose pause silences the least of the names.
    pub async fn leading_execution(&self) -> anyhow::Result<String> {
        let processes = || self.names().into_iter().filter(|name| name.starts_with("execution-"));
        until("all instances of execution to be heard", PATIENCE, async || {
            let heard = self.presences().await.map_err(|error| format!("{error:#}"))?;
            if heard.len() == processes().count() { Ok(()) } else { Err(format!("{heard:?}")) }
        })
        .await?;
        let heard = self.presences().await?;
        let leader = heard.first().cloned().unwrap_or_default();
        for process in processes() {
            self.pause(&process)?;
            let left = self.presences().await;
            self.resume(&process)?;
            if !left?.contains(&leader) {
                return Ok(process);
            }
        }
        anyhow::bail!("no process is {leader} of {heard:?}")
    }

    /// The names of all instances of execution that say that they live.
    async fn presences(&self) -> anyhow::Result<Vec<String>> {
        let client = self.client();
        let mut messages = client.nats().subscribe(subject::presences()).await?;
        client.nats().flush().await?;
        let end = Instant::now() + LISTEN;
        let mut heard = std::collections::BTreeSet::new();
        while let Ok(Some(message)) = timeout_at(end, messages.next()).await {
            let presence: Value = serde_json::from_slice(&message.payload)?;
            heard.extend(presence["instance"].as_str().map(str::to_owned));
        }
        Ok(heard.into_iter().collect())
    }
}
