//! How a request can end. An answer that did not come says nothing: the request may have happened.
//!
//! Replies are read as plain JSON on purpose, as any client would: the tests hold the wire to its word, field by field.

use std::fmt;

use serde_json::Value;

/// A request's end, as far as the client can know it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It happened, and this is the answer.
    Done(Reply),
    /// It was refused with an explanation.
    Refused(Refusal),
    /// No answer: it may have happened or not, now or later.
    Unknown(String),
}

/// The answer to an update or a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The request's id.
    pub id: String,
    /// The position that the answer reflects.
    pub position: u64,
    /// The place inside the entry, of an update.
    pub index: Option<u32>,
    /// Whether this is the first outcome, told again.
    pub replayed: bool,
    /// One value per statement.
    pub results: Vec<Value>,
}

/// An error reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// The sentence for people.
    pub message: String,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// Whether it is the outcome of the id, for good.
    pub settled: bool,
    /// The whole reply.
    pub reply: Value,
}

impl Refusal {
    /// NATS says that nobody is there: nothing happened.
    pub fn nobody() -> Self {
        let message = "no service listens on this subject".to_owned();
        Self { code: "no_responders".into(), message, retryable: true, settled: false, reply: Value::Null }
    }

    /// Where the copy stood that refused; the end of time where it did not say.
    pub fn position(&self) -> u64 {
        self.reply["error"]["position"].as_u64().unwrap_or(u64::MAX)
    }

    /// Whether the request was at two CSPs that ended meanwhile, and is given to no third one.
    pub fn is_suspected(&self) -> bool {
        self.code == "request_kills"
    }

    /// Whether the request may have happened in spite of the error.
    pub fn leaves_doubt(&self) -> bool {
        matches!(self.code.as_str(), "outcome_unknown" | "internal")
    }
}

impl Outcome {
    /// Reads a reply's bytes.
    pub fn decode(bytes: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(bytes) {
            Ok(reply) if reply.get("error").is_some() => Self::Refused(refusal(reply)),
            Ok(reply) => reply_of(&reply).map_or_else(|| Self::Unknown(format!("odd reply {reply}")), Self::Done),
            Err(error) => Self::Unknown(format!("a reply that is not JSON: {error}")),
        }
    }

    /// The answer, or an error that tells what came instead.
    pub fn done(self) -> anyhow::Result<Reply> {
        match self {
            Self::Done(reply) => Ok(reply),
            other => Err(anyhow::anyhow!("expected an answer, got {other}")),
        }
    }

    /// The refusal, or an error that tells what came instead.
    pub fn refused(self) -> anyhow::Result<Refusal> {
        match self {
            Self::Refused(refusal) => Ok(refusal),
            other => Err(anyhow::anyhow!("expected a refusal, got {other}")),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(reply) => write!(f, "done at {}: {}", reply.position, Value::from(reply.results.clone())),
            Self::Refused(refusal) => write!(f, "refused: {}: {}", refusal.code, refusal.message),
            Self::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

fn reply_of(reply: &Value) -> Option<Reply> {
    Some(Reply {
        id: reply.get("id")?.as_str()?.to_owned(),
        position: reply.get("position")?.as_u64()?,
        index: reply.get("index").and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok()),
        replayed: reply.get("replayed").and_then(Value::as_bool).unwrap_or(false),
        results: reply.get("results")?.as_array()?.clone(),
    })
}

fn refusal(reply: Value) -> Refusal {
    let text = |field: &str| reply["error"][field].as_str().unwrap_or_default().to_owned();
    Refusal {
        code: text("code"),
        message: text("message"),
        retryable: reply["error"]["retryable"].as_bool().unwrap_or(false),
        settled: reply["error"]["settled"].as_bool().unwrap_or(false),
        reply,
    }
}
