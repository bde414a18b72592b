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
    /// The stream begins behind what this copy needs next. Only a store that still has it can help.
    #[error(
        "the log begins at position {first}, and this copy needs {needed}: entries were removed from it. Only a store of the log \
         that has them all, up to its end, ends this"
    )]
    Trimmed {
        /// First position that the stream holds.
        first: Position,
        /// The position that this copy needs.
        needed: Position,
    },
    /// The stream holds the position, and does not give what stands there.
    #[error(
        "NATS has no entry at position {needed} of the log, which begins at {first} and goes on behind it: its store is damaged \
         there, or the entry was deleted. Stop the server that leads the stream {stream}, and put its store back from a backup as \
         new as the copies, or let it take the stream anew from another server that has it whole"
    )]
    Unreadable {
        /// Name of the stream.
        stream: String,
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
    /// What it means that nothing is delivered of position `needed`, and something behind it, of a stream that begins at `first`.
    #[must_use]
    pub fn of_gap(stream: &str, first: Position, needed: Position) -> Self {
        if first > needed {
            Self::Trimmed { first, needed }
        } else {
            Self::Unreadable { stream: stream.to_owned(), first, needed }
        }
    }

    /// Whether a new subscription from the same position may go on where this one ended.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Interrupted | Self::Doubted | Self::Silent)
    }

    /// The code by which updates are refused while the log does not fit the copy; none where that is not what is wrong.
    #[must_use]
    pub fn parting_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Missing { .. }
            | Self::Unfit(Unfit::WentBack { .. } | Unfit::Differs { .. } | Unfit::Absent { .. }) => {
                Some(ErrorCode::LogLost)
            }
            Self::Unfit(Unfit::Another { .. }) => Some(ErrorCode::LogMismatch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_nats_cannot_give_is_told_from_one_that_was_trimmed() {
        let trimmed = LogError::of_gap("LOG", 911, 910);
        assert!(matches!(trimmed, LogError::Trimmed { first: 911, needed: 910 }), "{trimmed}");
        for first in [1, 910] {
            let unreadable = LogError::of_gap("LOG", first, 910);
            let words = unreadable.to_string();
            assert!(words.contains("no entry at position 910") && words.contains("damaged"), "{words}");
            assert!(!unreadable.is_transient() && unreadable.parting_code().is_none(), "as one that was trimmed");
        }
    }
}
