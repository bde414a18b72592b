//! Does a stream go on where this copy is? What a copy knows of the log that it has applied, and the comparison.
//!
//! A stream is the same one when it was made at the same moment. It goes on where the copy is when the last message that the
//! copy applied still stands at its position, with the same bytes and the same time. What was before that message is then the
//! same, too: a log loses its end, or all of it, and never something in the middle; and no server writes the same bytes at the
//! same position at the same microsecond again, so an end that was lost and has grown again looks different.
//!
//! This is compared whenever a copy subscribes, which it does anew after every interruption: before that it neither applies nor
//! sends anything. So a copy knows for certain whether it is the one that is wrong, and needs no other copy to tell it.

use xxhash_rust::xxh3::xxh3_128;

use super::position::{LogMessage, Position};

/// A message as it stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogMark {
    /// The log's own time of it, in microseconds since 1970.
    pub timestamp_us: u64,
    /// Digest of its bytes.
    pub digest: u128,
}

impl LogMark {
    /// The mark of a message.
    #[must_use]
    pub fn of(message: &LogMessage) -> Self {
        Self { timestamp_us: message.timestamp_us, digest: xxh3_128(&message.payload) }
    }
}

/// What a copy knows of its log. It is stored with the applied state, in the same commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownLog {
    /// The last position that the copy has applied; 0 if none.
    pub position: Position,
    /// When the stream was made, in microseconds since 1970; none if this copy never saw it.
    pub created_us: Option<u64>,
    /// The message at `position`; none in a copy that was stored before marks were.
    pub mark: Option<LogMark>,
}

/// What a stream shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// When it was made, in microseconds since 1970.
    pub created_us: u64,
    /// The first position that it holds.
    pub first: Position,
    /// The last position that it has ever given away.
    pub last: Position,
}

/// The stream does not go on where the copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Another stream has the name of the log.
    #[error(
        "the log's stream was deleted and made anew: it is not the one that this copy has applied up to position {applied}"
    )]
    Another {
        /// What the copy has applied.
        applied: Position,
    },
    /// It ends before what the copy has applied.
    #[error(
        "the log ends at position {last}, and this copy has applied {applied}: entries are lost that were acknowledged"
    )]
    WentBack {
        /// Its last position.
        last: Position,
        /// What the copy has applied.
        applied: Position,
    },
    /// Nothing stands at the position of the copy's last message, although the stream holds it by its numbers.
    #[error(
        "NATS has no entry at position {applied} of the log, which this copy has applied last: the log's store is damaged there, or \
         the entry was deleted"
    )]
    Absent {
        /// What the copy has applied.
        applied: Position,
    },
    /// What the copy applied is not what stands there.
    #[error(
        "the log holds another message at position {applied} than the one that this copy has applied: it lost entries that \
         were acknowledged, and went on without them"
    )]
    Differs {
        /// What the copy has applied.
        applied: Position,
    },
}

impl KnownLog {
    /// Compares what can be told without reading a message.
    ///
    /// # Errors
    /// Why the stream does not go on where the copy is.
    pub fn compare(&self, sight: &Sight) -> Result<(), Unfit> {
        let applied = self.position;
        if applied > 0 && self.created_us.is_some_and(|created_us| created_us != sight.created_us) {
            return Err(Unfit::Another { applied });
        }
        if sight.last < applied {
            return Err(Unfit::WentBack { last: sight.last, applied });
        }
        Ok(())
    }

    /// The position whose message has to be compared as well; none if there is nothing to compare, or it was trimmed.
    #[must_use]
    pub fn to_compare(&self, sight: &Sight) -> Option<Position> {
        (self.mark.is_some() && self.position >= sight.first).then_some(self.position)
    }

    /// Compares the message at [`KnownLog::to_compare`]; none if nothing stands there.
    ///
    /// # Errors
    /// As [`KnownLog::compare`].
    pub fn compare_mark(&self, found: Option<LogMark>) -> Result<(), Unfit> {
        let applied = self.position;
        match found {
            found if found == self.mark => Ok(()),
            None => Err(Unfit::Absent { applied }),
            Some(_) => Err(Unfit::Differs { applied }),
        }
    }
}
