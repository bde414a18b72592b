//! The answer when a request was not carried out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codec::{DecodeError, Kind, Message, peek_type};
use crate::error_code::ErrorCode;
use crate::limits::MAX_ERROR_MESSAGE_BYTES;

/// A request was not carried out, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorReply {
    /// The id of the request, if it was understood that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong, for programs (`code`) and for people (`message`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// Which of the known ways to fail.
    pub code: ErrorCode,
    /// What happened, and what to do next.
    pub message: String,
    /// Whether the same request, sent again, may succeed: under the same id, or under another one where `settled` says so.
    pub retryable: bool,
    /// Whether this is the outcome of the request's id for as long as ids are kept: nothing that was or is sent under it takes
    /// effect, and it gets this answer again. Where it is not set, the error is about this sending alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
    /// Which statement failed, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<usize>,
    /// The position that the answering copy had applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// How long to wait before sending it again, in milliseconds, where that can be reckoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// More, by code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl ErrorReply {
    /// An error with a message; `retryable` follows from the code.
    pub fn new(id: Option<String>, code: ErrorCode, message: impl Into<String>) -> Self {
        let error = ErrorBody {
            code,
            message: shortened(message.into()),
            retryable: code.retryable(),
            settled: false,
            statement: None,
            position: None,
            retry_after_ms: None,
            details: None,
        };
        Self { id, error }
    }

    /// Names the statement that failed, counted from 0.
    #[must_use]
    pub fn at_statement(mut self, statement: usize) -> Self {
        self.error.statement = Some(statement);
        self
    }

    /// Says that this is the outcome of the request's id.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.error.settled = true;
        self
    }

    /// Says how far the answering copy is.
    #[must_use]
    pub fn at_position(mut self, position: u64) -> Self {
        self.error.position = Some(position);
        self
    }

    /// Says when sending it again is worth the while.
    #[must_use]
    pub fn retry_after_ms(mut self, retry_after_ms: u64) -> Self {
        self.error.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// Adds what a program may want to know.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.error.details = Some(details);
        self
    }
}

/// A message that quotes a whole value is cut: an error always fits into an answer, and into what is kept with an id.
fn shortened(mut message: String) -> String {
    let length = message.len();
    if length > MAX_ERROR_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_ERROR_MESSAGE_BYTES));
        message.push_str(&format!(" ... (cut, it has {length} bytes)"));
    }
    message
}

impl From<&DecodeError> for ErrorReply {
    fn from(error: &DecodeError) -> Self {
        Self::new(None, error.code(), error.to_string())
    }
}

impl Message for ErrorReply {
    const TYPE: &'static str = "io.holdfast.foundation.v1.error_reply";
    const KIND: Kind = Kind::Reply;
}

/// Reads an answer: what was asked for, or the error that came instead.
pub fn decode_reply<R: Message>(bytes: &[u8]) -> Result<Result<R, ErrorReply>, DecodeError> {
    if peek_type(bytes).as_deref() == Some(ErrorReply::TYPE) {
        return ErrorReply::decode(bytes).map(Err);
    }
    R::decode(bytes).map(Ok)
}
