//! Transactions over several messages, as a careful client carries them out: messages are numbered, what is not answered is sent
//! again, and what became of the transaction is asked until it is certain.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::recorder::{DEADLINE, SETTLE_PATIENCE};
use super::{Operation, Recorder, Workload, decode, encode};
use crate::broken_promise::BrokenPromise;
use crate::client::{Outcome, Transaction};

/// How many transactions there are for each that is aborted.
const ABORT_ONE_IN: u32 = 6;
/// How many parts there are for each that is sent twice at once.
const TWICE_ONE_IN: u32 = 4;
/// How often a part is sent.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(25);

impl Recorder {
    /// A transaction over several messages. Whatever ends it, it is written down as what the group says became of it.
    pub(super) async fn transact(&self, workload: &mut Workload) -> anyhow::Result<Option<u64>> {
        let parts: Vec<Vec<Operation>> = (0..=workload.choose(3)).map(|_| workload.update()).collect();
        let operations = parts.concat();
        let id = ulid::Ulid::generate().to_string();
        let mut asked = self.ask(&id, operations, None);
        let fields = json!({ "id": id, "idle_ms": 10_000 });
        let begun = Transaction::begin_once(&self.client, &fields, DEADLINE).await;
        let Some(mut transaction) = begun else { return Ok(None) };
        let mut observed = Vec::new();
        let mut verb = if workload.one_in(ABORT_ONE_IN) { "abort" } else { "commit" };
        for part in &parts {
            let times = if workload.one_in(TWICE_ONE_IN) { 2 } else { 1 };
            transaction.next();
            let Some(results) = execute(&transaction, part, times).await? else {
                verb = "abort";
                break;
            };
            observed.extend(decode(part, &results)?);
        }
        asked.observed = Some(observed);
        self.seen(&asked);
        transaction.next();
        let outcome = end(&transaction, verb).await?;
        self.note_update(&asked, outcome)
    }
}

/// Carries out a part, so many times at once, and again where there is no answer: it has to count once, and all answers have to be
/// the same. None if it was refused.
async fn execute(transaction: &Transaction, part: &[Operation], times: usize) -> anyhow::Result<Option<Vec<Value>>> {
    let sql = encode(part);
    for _ in 0..ATTEMPTS {
        let answers = join_all((0..times).map(|_| transaction.execute(&sql))).await;
        let mut told = answers.iter().flatten().filter(|reply| reply["results"].is_array());
        if let Some(first) = told.next() {
            if let Some(other) = told.find(|other| other["results"] != first["results"]) {
                let (token, number) = (transaction.token(), transaction.number());
                let what = format!("{token}, message {number:?} was answered {first} and {other}");
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
async fn end(transaction: &Transaction, verb: &str) -> anyhow::Result<Outcome> {
    let end = Instant::now() + SETTLE_PATIENCE;
    loop {
        let reply = transaction.end(verb).await.unwrap_or_default();
        match Outcome::decode(reply.to_string().as_bytes()) {
            Outcome::Done(reply) => return Ok(Outcome::Done(reply)),
            Outcome::Refused(mut refusal) if is_final(&refusal.code) => {
                // Of one transaction, though what it says of another one differs.
                refusal.settled = true;
                return Ok(Outcome::Refused(refusal));
            }
            _ if reply["state"] == "aborted" => return Ok(aborted()),
            _ if reply["state"] == "committed" => {
                anyhow::bail!(BrokenPromise(format!("nobody asked to commit {}: {reply}", transaction.token())))
            }
            _ if Instant::now() >= end => return Ok(Outcome::Unknown(reply.to_string())),
            _ => sleep(PAUSE).await,
        }
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
