//! Reading and writing the few shapes that the format is made of. Reading is checked at each step and never panics.

use super::error::EntryError;

/// A part of a body by its offsets: bodies are below 4 GiB (they are at most `TRANSACTION_MAX_BYTES`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// The bytes of this span. Empty if the span is not one of these bytes, which decoding has ruled out.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Reads values one after the other from the front of a slice.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(crate) fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], EntryError> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        self.at += taken.map_or(0, <[u8]>::len);
        taken.ok_or(EntryError::Truncated { what })
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], EntryError> {
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| EntryError::Truncated { what })
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, EntryError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, EntryError> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, EntryError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64, EntryError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(EntryError::Varint { what })
    }

    /// A varint that counts bytes of this reader: never more than are left.
    pub(crate) fn length(&mut self, what: &'static str) -> Result<usize, EntryError> {
        let length = self.varint(what)?;
        match usize::try_from(length) {
            Ok(length) if length <= self.left() => Ok(length),
            _ => Err(EntryError::Truncated { what }),
        }
    }

    pub(crate) fn prefixed(&mut self, what: &'static str) -> Result<&'a [u8], EntryError> {
        let length = self.length(what)?;
        self.take(length, what)
    }

    /// Skips `length` bytes and says where they are.
    pub(crate) fn span(&mut self, length: usize, what: &'static str) -> Result<Span, EntryError> {
        let start = self.at;
        self.take(length, what)?;
        match (u32::try_from(start), u32::try_from(self.at)) {
            (Ok(start), Ok(end)) => Ok(Span { start, end }),
            _ => Err(EntryError::TooLarge { what, value: self.at as u64, limit: u64::from(u32::MAX) }),
        }
    }
}

pub(crate) fn put_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push((value as u8) | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

pub(crate) fn put_prefixed(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(buffer, bytes.len() as u64);
    buffer.extend_from_slice(bytes);
}
