//! Transactions over several messages, as a careful client carries them out: messages are numbered, what is not answered is sent
//! again, and what became of the transaction is asked until it is certain.

use std::time::Duration;

use futures::future::join_all;
use holdfast_schemas::subject;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::recorder::{DEADLINE, SETTLE_PATIENCE};
use super::{Operation, Recorder, Workload, decode, encode};
use crate::broken_promise::BrokenPromise;
use crate::client::Outcome;

/// How many transactions there are for each that is aborted.
const ABORT_ONE_IN: u32 = 6;
/// How many parts there are for each that is sent twice at once.
const TWICE_ONE_IN: u32 = 4;
/// How often a part is sent.
const ATTEMPTS: usize = 3;
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
        for (number, part) in (1..).zip(&parts) {
            let times = if workload.one_in(TWICE_ONE_IN) { 2 } else { 1 };
            let Some(results) = self.execute(token, number, part, times).await? else {
                verb = "abort";
                break;
            };
            observed.extend(decode(part, &results)?);
        }
        asked.observed = Some(observed);
        self.seen(&asked);
        let number = (verb == "commit").then_some(parts.len() + 1);
        let outcome = self.end_transaction(verb, token, number).await?;
        self.note_update(&asked, outcome)
    }

    /// Carries out a part, so many times at once, and again where there is no answer: it has to count once, and all answers have to
    /// be the same. None if it was refused.
    async fn execute(
        &self,
        token: &str,
        number: u64,
        part: &[Operation],
        times: usize,
    ) -> anyhow::Result<Option<Vec<Value>>> {
        let deadline_ms = DEADLINE.as_millis() as u64;
        let body = json!({ "transaction": token, "sql": encode(part), "number": number, "deadline_ms": deadline_ms });
        for _ in 0..ATTEMPTS {
            let answers = join_all((0..times).map(|_| self.message("execute", &body))).await;
            let mut told = answers.iter().flatten().filter(|reply| reply["results"].is_array());
            if let Some(first) = told.next() {
                if let Some(other) = told.find(|other| other["results"] != first["results"]) {
                    let what = format!("{token}, message {number} was answered {first} and {other}");
                    anyhow::bail!(BrokenPromise(what));
                }
                return Ok(first["results"].as_array().cloned());
            }
            if answers.iter().flatten().any(is_end) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Ends a transaction one way or the other, and gives what became of it.
    async fn end_transaction(&self, verb: &str, token: &str, number: Option<usize>) -> anyhow::Result<Outcome> {
        let end = Instant::now() + SETTLE_PATIENCE;
        let mut body = json!({ "transaction": token, "deadline_ms": DEADLINE.as_millis() as u64 });
        if let Some(number) = number {
            body["number"] = number.into();
        }
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

/// Whether a message was refused for good: another attempt at it gets no other answer.
fn is_end(reply: &Value) -> bool {
    reply.get("error").is_some_and(|error| error["retryable"] != true && error["code"] != "outcome_unknown")
}

/// Whether an error says that the transaction has ended without effect.
fn is_final(code: &str) -> bool {
    matches!(code, "conflict" | "transaction_aborted" | "transaction_too_old" | "transaction_too_large" | "lock_lost")
}

fn aborted() -> Outcome {
    let reply = json!({ "error": { "code": "transaction_aborted", "message": "aborted", "retryable": false, "settled": true } });
    Outcome::decode(reply.to_string().as_bytes())
}
