//! Turns messages into bytes and back. The type name is written first, so that a reader can tell an answer from an
//! error by its first bytes; a request is checked for size and nesting before it is parsed at all.

mod depth;
mod tagged;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::error_code::ErrorCode;
use crate::limits::{MAX_JSON_DEPTH, MAX_REQUEST_BYTES};

/// Who reads a message, which decides how strictly it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Written by clients, often by hand: `type` may be left out, unknown fields are refused, size and nesting bounded.
    Request,
    /// The answer to a request: fields that a later version adds are ignored.
    Reply,
    /// Said to whom it may concern, or stored: fields that a later version adds are ignored.
    Event,
}

/// A message of the wire.
pub trait Message: Serialize + DeserializeOwned + JsonSchema {
    /// `io.holdfast.<service>.v1.<name>`: the member `type`, and the title and path of the schema.
    const TYPE: &'static str;

    /// Who reads it.
    const KIND: Kind;

    /// Checks what the types of the fields cannot say.
    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }

    /// The message as JSON, `type` first.
    fn encode(&self) -> Vec<u8> {
        encode_as(Self::TYPE, self)
    }

    /// Reads a message, and checks it.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if Self::KIND == Kind::Request {
            within_bounds(bytes)?;
        }
        let message: Self = tagged::read(bytes, Self::TYPE)?;
        message.check()?;
        Ok(message)
    }
}

/// Why bytes were not understood. Nothing was done with them; each message says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than a request may have.
    #[error("the request has {bytes} bytes and {limit} are allowed: split it into smaller requests")]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        limit: usize,
    },
    /// Arrays and objects within one another, deeper than a request may nest them.
    #[error("the request nests arrays and objects more than {limit} levels deep: flatten it")]
    TooDeep {
        /// How deep it may be.
        limit: usize,
    },
    /// Not JSON, or JSON that breaks off.
    #[error("the body is not JSON ({reason}): send one JSON object")]
    NotJson {
        /// What the parser met, and where.
        reason: String,
    },
    /// A message of another type.
    #[error("the body is of type {found:?} where {expected:?} is expected: check the subject, or leave `type` out")]
    WrongType {
        /// What belongs here.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// A field that this message does not have, most often a misspelt one.
    #[error("{reason}: correct or remove the field")]
    UnknownField {
        /// Which one, which ones there are, and where it stands.
        reason: String,
    },
    /// A field is missing, or its value is of the wrong kind.
    #[error("the body is not a valid {expected} ({reason}): correct the field")]
    Invalid {
        /// What belongs here.
        expected: &'static str,
        /// What is wrong, and where.
        reason: String,
    },
    /// A value that the type allows and the meaning does not.
    #[error("`{field}` {reason}")]
    Refused {
        /// Which field.
        field: &'static str,
        /// What is wrong with it and what to send instead.
        reason: String,
    },
}

impl DecodeError {
    /// The code under which a client hears of it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::RequestTooLarge,
            _ => ErrorCode::InvalidRequest,
        }
    }

    /// Shorthand for [`DecodeError::Refused`].
    pub fn refused(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Refused { field, reason: reason.into() }
    }
}

/// Checks size and nesting without parsing: a hostile body must cost neither memory nor stack.
fn within_bounds(bytes: &[u8]) -> Result<(), DecodeError> {
    if bytes.len() > MAX_REQUEST_BYTES {
        return Err(DecodeError::TooLarge { bytes: bytes.len(), limit: MAX_REQUEST_BYTES });
    }
    if depth::exceeds(bytes, MAX_JSON_DEPTH) {
        return Err(DecodeError::TooDeep { limit: MAX_JSON_DEPTH });
    }
    Ok(())
}

/// The type name in a message, without reading the rest if it stands first (as Holdfast writes it).
pub fn peek_type(bytes: &[u8]) -> Option<String> {
    tagged::peek(bytes)
}

/// Writes `{"type":...` and lets the message's own members follow.
pub(crate) fn encode_as<T: Serialize + ?Sized>(type_name: &str, value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(b"{\"type\":\"");
    bytes.extend_from_slice(type_name.as_bytes());
    bytes.push(b'"');
    let members = bytes.len();
    if serde_json::to_writer(&mut bytes, value).is_err() || bytes.get(members) != Some(&b'{') {
        // Messages are structs with string keys and always encode. Were one not to, its reader sees a message without
        // members, and says which one is missing.
        bytes.truncate(members);
        bytes.push(b'}');
        return bytes;
    }
    if bytes.get(members + 1) == Some(&b'}') {
        bytes.remove(members);
    } else if let Some(brace) = bytes.get_mut(members) {
        *brace = b',';
    }
    bytes
}
