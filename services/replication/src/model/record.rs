//! What a copy keeps about a position besides its data, so that the certifier can be rebuilt from the log: which
//! transactions were refused. Most positions need none.

use crate::entry::TRANSACTIONS_MAX;

/// The refusals of one position. A position without a record had none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The message as a whole did not count.
    Void {
        /// True if it still moved its sender's number on.
        registered: bool,
    },
    /// Some transactions were refused: bit `index % 8` of byte `index / 8`, without zero bytes at the end.
    Refused(Vec<u8>),
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record of refusals is damaged")]
pub struct RecordError;

const VOID: u8 = 0;
const VOID_REGISTERED: u8 = 1;
const REFUSED: u8 = 2;

impl Record {
    /// The record of a batch from what was refused in it; none if nothing was.
    pub(crate) fn of_refused(refused: impl Iterator<Item = usize>) -> Option<Self> {
        let mut bits = Vec::new();
        for index in refused {
            let byte = index / 8;
            if bits.len() <= byte {
                bits.resize(byte + 1, 0_u8);
            }
            if let Some(byte) = bits.get_mut(byte) {
                *byte |= 1 << (index % 8);
            }
        }
        (!bits.is_empty()).then_some(Self::Refused(bits))
    }

    /// True if the transaction at `index` was refused.
    pub fn is_refused(&self, index: usize) -> bool {
        match self {
            Self::Void { .. } => true,
            Self::Refused(bits) => bits.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0),
        }
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Void { registered: false } => vec![VOID],
            Self::Void { registered: true } => vec![VOID_REGISTERED],
            Self::Refused(bits) => [&[REFUSED], bits.as_slice()].concat(),
        }
    }

    /// Reads what was kept.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes {
            [VOID] => Ok(Self::Void { registered: false }),
            [VOID_REGISTERED] => Ok(Self::Void { registered: true }),
            [REFUSED, bits @ ..]
                if bits.len() <= TRANSACTIONS_MAX.div_ceil(8) && bits.last().is_some_and(|&last| last != 0) =>
            {
                Ok(Self::Refused(bits.to_vec()))
            }
            _ => Err(RecordError),
        }
    }
}
