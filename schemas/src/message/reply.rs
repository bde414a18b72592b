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
    /// One result for each statement.
    pub results: Vec<Value>,
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

/// An encoded [`UpdateReply`] around results that are JSON already (an array, one element for each statement).
pub fn update_reply_bytes(
    id: &str,
    position: u64,
    index: Option<u32>,
    replayed: Option<bool>,
    results_json: &[u8],
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Head<'a> {
        id: &'a str,
        position: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        index: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        replayed: Option<bool>,
    }
    splice(encode_as(UpdateReply::TYPE, &Head { id, position, index, replayed }), results_json)
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
