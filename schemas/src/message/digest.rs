//! Comparing copies: equal copies give equal digests at equal positions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codec::{Kind, Message};

/// Asks one CSP for the digest of its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DigestRequest {
    /// The position to take it at, which must not have been passed yet; now, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

impl Message for DigestRequest {
    const TYPE: &'static str = "io.holdfast.replication.v1.digest_request";
    const KIND: Kind = Kind::Request;
}

/// The digest of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DigestReply {
    /// The position that it was taken at.
    pub position: u64,
    /// How many keys it covers.
    pub keys: u64,
    /// The digest, in hexadecimal.
    pub digest: String,
}

impl Message for DigestReply {
    const TYPE: &'static str = "io.holdfast.replication.v1.digest_reply";
    const KIND: Kind = Kind::Reply;
}
