//! Packs bodies when that pays: SurrealDB's keys repeat their prefixes, so most bodies shrink to less than half.

use lz4_flex::block;

use super::error::EntryError;

/// Bodies below this size are sent as they are.
const WORTH_TRYING_BYTES: usize = 512;

/// The packed body, if it is at least an eighth smaller.
pub(super) fn pack(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < WORTH_TRYING_BYTES {
        return None;
    }
    let mut packed = vec![0; block::get_maximum_output_size(body.len())];
    let length = block::compress_into(body, &mut packed).ok()?;
    packed.truncate(length);
    (length <= body.len() - body.len() / 8).then_some(packed)
}

/// Unpacks to exactly `length` bytes. The caller has bounded `length`.
pub(super) fn unpack(packed: &[u8], length: usize) -> Result<Vec<u8>, EntryError> {
    // One byte of lz4 stands for at most 255: a stated length beyond that is a lie, found out before allocating.
    if length > packed.len().saturating_mul(255) {
        return Err(EntryError::Compression);
    }
    let mut body = vec![0; length];
    match block::decompress_into(packed, &mut body) {
        Ok(unpacked) if unpacked == length => Ok(body),
        _ => Err(EntryError::Compression),
    }
}
