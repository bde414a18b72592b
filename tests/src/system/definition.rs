//! How the group of a test system is defined, and how that is changed while it runs.

use std::time::Duration;

use holdfast_schemas::subject;
use serde_json::{Value, json};

use super::{GROUP, PATIENCE, System};
use crate::wait::until;

impl System {
    /// The group's definition as the options ask for it.
    pub fn definition(&self) -> Value {
        let csps: Vec<String> = self.csps().into_iter().chain(self.later()).collect();
        json!({
            "name": GROUP,
            "csps": csps,
            "replication": self.options.replication,
            "isolation": self.options.isolation,
            "storage": self.options.storage,
            "ids_kept_ms": self.options.ids_kept_ms,
            "log_replicas": self.options.nats_servers,
            "tasks": self.options.tasks,
            // What is killed again and again here has no fault of its own.
            "supervision": { "flapping_verdicts": 1_000 },
        })
    }

    /// Defines the group as the options ask for it, with these fields on top, and returns the answer.
    pub async fn define_group(&self, fields: &Value) -> anyhow::Result<Value> {
        until("the group to be defined", PATIENCE, async || self.try_define_group(fields).await).await
    }

    /// The same, asked once: for what is to be refused.
    pub async fn try_define_group(&self, fields: &Value) -> anyhow::Result<Value> {
        let mut definition = self.definition();
        for (field, value) in fields.as_object().into_iter().flatten() {
            definition[field] = value.clone();
        }
        let body = json!({ "definition": definition });
        self.client.ask(subject::admin("group", "define"), &body, Duration::from_secs(10)).await
    }
}
