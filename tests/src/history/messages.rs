//! Transactions over several messages, as a careful client carries them out: what is not answered ends the transaction, and what
//! became of it is asked until it is certain.

use std::time::Duration;

use holdfast_schemas::subject;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::recorder::{DEADLINE, SETTLE_PATIENCE};
use super::{Operation, Recorder, Workload, decode, encode};
use crate::broken_promise::BrokenPromise;
use crate::client::Outcome;

/// How many transactions there are for each that is aborted.
const ABORT_ONE_IN: u32 = 6;
const PAUSE: Duration = Duration::from_millis(25);
/// How long an answer is awaited behind its deadline.
const MARGIN: Duration = Duration::from_millis(500);

impl Recorder {
    /// A transaction over several messages. Whatever ends it, it is written down as what the group says became of it.
    pub(super) async fn transact(&self, workload: &mut Workload) -> anyhow::Result<Option<u64>> {
        let parts: Vec<Vec<Operation>> = (0..=workload.choose(3)).map(|_| workload.update()).collect();
        let operations = parts.concat();
        let id = ulid::Ulid::generate().to_string();
        let mut asked = self.ask(&id, operations, None);
        let body = json!({ "id": id, "idle_ms": 10_000, "deadline_ms": DEADLINE.as_millis() as u64 });
        let begun = self.message("begin", &body).await.unwrap_or_default();
        let Some(token) = begun["transaction"].as_str() else { return Ok(None) };
        let mut observed = Vec::new();
        let mut verb = if workload.one_in(ABORT_ONE_IN) { "abort" } else { "commit" };
        for part in &parts {
            let body = json!({ "transaction": token, "sql": encode(part), "deadline_ms": DEADLINE.as_millis() as u64 });
            match self.message("execute", &body).await {
                Some(reply) if reply["results"].is_array() => {
                    let results: Vec<Value> = serde_json::from_value(reply["results"].clone())?;
                    observed.extend(decode(part, &results)?);
                }
                _ => {
                    verb = "abort";
                    break;
                }
            }
        }
        asked.observed = Some(observed);
        self.seen(&asked);
        let outcome = self.end_transaction(verb, token).await?;
        self.note_update(&asked, outcome)
    }

    /// Ends a transaction one way or the other, and gives what became of it.
    async fn end_transaction(&self, verb: &str, token: &str) -> anyhow::Result<Outcome> {
        let end = Instant::now() + SETTLE_PATIENCE;
        let body = json!({ "transaction": token, "deadline_ms": DEADLINE.as_millis() as u64 });
        loop {
            let reply = self.message(verb, &body).await.unwrap_or_default();
            match Outcome::decode(reply.to_string().as_bytes()) {
                Outcome::Done(reply) => return Ok(Outcome::Done(reply)),
                Outcome::Refused(mut refusal) if is_final(&refusal.code) => {
                    // Of one transaction, though what it says of another one differs.
                    refusal.settled = true;
                    return Ok(Outcome::Refused(refusal));
                }
                _ if reply["state"] == "aborted" => return Ok(aborted()),
                _ if reply["state"] == "committed" => {
                    anyhow::bail!(BrokenPromise(format!("nobody asked to commit {token}: {reply}")))
                }
                _ if Instant::now() >= end => return Ok(Outcome::Unknown(reply.to_string())),
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// Sends one message; none if there was no answer.
    async fn message(&self, verb: &str, body: &Value) -> Option<Value> {
        let subject = subject::transaction(self.client.group(), verb);
        self.client.answer(subject, body, DEADLINE + MARGIN).await.ok()
    }
}

/// Whether an error says that the transaction has ended without effect.
fn is_final(code: &str) -> bool {
    matches!(code, "conflict" | "transaction_aborted" | "transaction_too_old" | "transaction_too_large" | "lock_lost")
}

fn aborted() -> Outcome {
    let reply = json!({ "error": { "code": "transaction_aborted", "message": "aborted", "retryable": false, "settled": true } });
    Outcome::decode(reply.to_string().as_bytes())
}
