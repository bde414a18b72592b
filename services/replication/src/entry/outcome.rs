//! What is kept with an id: the fingerprint of what was asked for under it, and the results.
//!
//! The results are JSON or nothing, so they begin with `[` or `{`. A byte that can begin neither says that a fingerprint stands in
//! front of them. Where there is none, a version of Holdfast wrote it that kept none, and nothing is known of what was asked for.

use super::wire::{put_prefixed, put_varint};

/// Says that a fingerprint follows: 8 bytes, little endian.
const FINGERPRINT: u8 = 1;
/// Bytes of a fingerprint with that in front.
const FINGERPRINT_BYTES: usize = 9;

/// Appends both, with their length in front; nothing where there is neither.
pub(super) fn put(body: &mut Vec<u8>, fingerprint: Option<u64>, results: Option<&[u8]>) {
    match (fingerprint, results) {
        (None, None) => {}
        (None, Some(results)) => put_prefixed(body, results),
        (Some(fingerprint), results) => {
            let results = results.unwrap_or_default();
            put_varint(body, (FINGERPRINT_BYTES + results.len()) as u64);
            body.push(FINGERPRINT);
            body.extend_from_slice(&fingerprint.to_le_bytes());
            body.extend_from_slice(results);
        }
    }
}

/// Takes what is kept apart: the fingerprint, and the results.
#[must_use]
pub fn split(kept: &[u8]) -> (Option<u64>, &[u8]) {
    match kept.split_first_chunk::<FINGERPRINT_BYTES>() {
        Some((&[FINGERPRINT, ref fingerprint @ ..], results)) => (Some(u64::from_le_bytes(*fingerprint)), results),
        _ => (None, kept),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Reader;
    use super::*;

    #[test]
    fn what_is_put_is_taken_apart_again() {
        for fingerprint in [None, Some(0), Some(u64::MAX), Some(0x5b5b)] {
            for results in [None, Some(&b"[]"[..]), Some(&b"{\"code\":1}"[..])] {
                let mut body = Vec::new();
                put(&mut body, fingerprint, results);
                if fingerprint.is_none() && results.is_none() {
                    assert!(body.is_empty());
                    continue;
                }
                let kept = Reader::new(&body).prefixed("kept").unwrap();
                assert_eq!(split(kept), (fingerprint, results.unwrap_or_default()));
            }
        }
    }

    #[test]
    fn what_older_versions_kept_has_no_fingerprint() {
        for kept in [&b""[..], b"[1,2,3,4,5,6,7,8,9]", b"{\"code\":\"conflict\"}"] {
            assert_eq!(split(kept), (None, kept));
        }
    }
}
