//! Why the log cannot be read.

use holdfast_schemas::ErrorCode;

use crate::model::{Position, Unfit};

/// The log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The stream cannot be reached now. Nothing is harmed; try again.
    #[error("the log stream {stream} cannot be reached")]
    Unavailable {
        /// Name of the stream.
        stream: String,
        /// Why.
        #[source]
        source: async_nats::Error,
    },
    /// JetStream has no such stream.
    #[error("the log is gone: NATS has no stream {stream}")]
    Missing {
        /// Name of the stream.
        stream: String,
    },
    /// The stream does not go on where this copy is. Nothing is harmed; it may be put back.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The stream begins behind what this copy needs next. Only a snapshot of another copy can help.
    #[error("the log begins at position {first}, and this copy needs {needed}")]
    Trimmed {
        /// First position that the stream holds.
        first: Position,
        /// The position that this copy needs.
        needed: Position,
    },
    /// The subscription ended, or something that it should have delivered was lost. Subscribe anew.
    #[error("the subscription to the log was interrupted")]
    Interrupted,
    /// The connection was lost for a moment, or there is another doubt about the log. Subscribe anew, which compares it.
    #[error("the log has to be compared anew")]
    Doubted,
    /// The log goes on and the subscription delivers nothing. Nothing is harmed; subscribe anew.
    #[error("the log goes on, and the subscription delivers nothing")]
    Silent,
}

impl LogError {
    /// Whether a new subscription from the same position may go on where this one ended.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Interrupted | Self::Doubted | Self::Silent)
    }

    /// The code by which updates are refused while the log does not fit the copy; none where that is not what is wrong.
    #[must_use]
    pub fn parting_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Missing { .. } | Self::Unfit(Unfit::WentBack { .. } | Unfit::Differs { .. }) => {
                Some(ErrorCode::LogLost)
            }
            Self::Unfit(Unfit::Another { .. }) => Some(ErrorCode::LogMismatch),
            _ => None,
        }
    }
}
