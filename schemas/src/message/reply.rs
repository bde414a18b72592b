//! What a CSP answers when an update or a query was carried out.
//!
//! A CSP has the results as JSON bytes already; [`update_reply_bytes`] and [`query_reply_bytes`] put them into place
//! as they are, instead of parsing them only to write them again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codec::{Kind, Message, encode_as};

/// The transaction took effect, at this place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateReply {
    /// The id of the request.
    pub id: String,
    /// Where it stands in the log. A session query with this as `after` sees it.
    pub position: u64,
    /// Its place among the transactions of the same entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// Whether this is the first outcome of a request that came again; the request was not carried out a second time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
    /// Says that the results did not fit into one message. The transaction took effect all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_dropped: Option<ResultsDropped>,
    /// One result for each statement; none where `results_dropped` says so.
    pub results: Vec<Value>,
}

/// Results that did not fit into one message, and were left out. What was asked for was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResultsDropped {
    /// How many bytes they had as JSON, at least.
    pub bytes: u64,
    /// How many an answer may have.
    pub limit: u64,
    /// What happened, and what to do.
    pub message: String,
}

impl ResultsDropped {
    /// Results of so many bytes, where so many are allowed.
    pub fn new(bytes: u64, limit: u64) -> Self {
        let message = format!(
            "the statements were carried out, and their results are left out: they have {bytes} bytes or more, and an answer \
             holds {limit}. Let statements return less (RETURN NONE, RETURN VALUE id), and read the rest with queries"
        );
        Self { bytes, limit, message }
    }
}

/// Results on their way into an answer.
#[derive(Debug, Clone, Copy)]
pub enum Results<'a> {
    /// A JSON array, one element for each statement.
    Json(&'a [u8]),
    /// They are left out.
    Dropped(&'a ResultsDropped),
}

impl<'a> Results<'a> {
    pub(super) fn json(self) -> &'a [u8] {
        match self {
            Self::Json(json) => json,
            Self::Dropped(_) => b"[]",
        }
    }

    pub(super) fn dropped(self) -> Option<&'a ResultsDropped> {
        match self {
            Self::Json(_) => None,
            Self::Dropped(dropped) => Some(dropped),
        }
    }
}

impl Message for UpdateReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.update_reply";
    const KIND: Kind = Kind::Reply;
}

/// The query's results, and the position that they reflect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryReply {
    /// The id of the request.
    pub id: String,
    /// Everything up to this position was applied when the query read.
    pub position: u64,
    /// One result for each statement.
    pub results: Vec<Value>,
}

impl Message for QueryReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.query_reply";
    const KIND: Kind = Kind::Reply;
}

/// An encoded [`UpdateReply`] around results that are JSON already.
pub fn update_reply_bytes(
    id: &str,
    position: u64,
    index: Option<u32>,
    replayed: Option<bool>,
    results: Results<'_>,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        id: &'a str,
        position: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        index: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        replayed: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        results_dropped: Option<&'a ResultsDropped>,
    }
    let head = Head { id, position, index, replayed, results_dropped: results.dropped() };
    splice(encode_as(UpdateReply::TYPE, &head), results.json())
}

/// An encoded [`QueryReply`] around results that are JSON already (an array, one element for each statement).
pub fn query_reply_bytes(id: &str, position: u64, results_json: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        id: &'a str,
        position: u64,
    }
    splice(encode_as(QueryReply::TYPE, &Head { id, position }), results_json)
}

/// Puts `results` behind the members of `head`.
pub(super) fn splice(mut head: Vec<u8>, results_json: &[u8]) -> Vec<u8> {
    head.pop();
    head.reserve_exact(results_json.len() + 13);
    head.extend_from_slice(b",\"results\":");
    head.extend_from_slice(results_json);
    head.push(b'}');
    head
}
