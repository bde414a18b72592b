//! The ids that one entry committed, with the results to give to whoever asks again, as one value in the copy.
//!
//! Layout: log time (8 bytes, big endian), then for each id: index (4), length of the id (1), id, length of the results (4),
//! results.

use crate::model::Place;

/// One id that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptId<'a> {
    /// Index of its transaction inside the entry.
    pub index: u32,
    /// The id.
    pub id: &'a str,
    /// The results, as JSON; empty when none were kept.
    pub results: &'a [u8],
}

/// A value of kept ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptIds(Vec<u8>);

impl KeptIds {
    /// No ids yet, at this log time.
    #[must_use]
    pub fn new(log_time_ms: u64) -> Self {
        Self(log_time_ms.to_be_bytes().to_vec())
    }

    /// Adds one. An id is at most 128 bytes long (the entry format says so), so its length fits.
    pub fn push(&mut self, kept: KeptId<'_>) {
        self.0.extend_from_slice(&kept.index.to_be_bytes());
        self.0.push(u8::try_from(kept.id.len()).unwrap_or(u8::MAX));
        self.0.extend_from_slice(kept.id.as_bytes());
        self.0.extend_from_slice(&u32::try_from(kept.results.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.0.extend_from_slice(kept.results);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 8
    }

    /// The bytes to keep.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what was kept: the log time, and the ids; `None` when the bytes are damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(u64, Vec<KeptId<'_>>)> {
        let (log_time_ms, mut rest) = bytes.split_first_chunk::<8>()?;
        let mut ids = Vec::new();
        while !rest.is_empty() {
            let (index, tail) = rest.split_first_chunk::<4>()?;
            let (length, tail) = tail.split_first()?;
            let (id, tail) = tail.split_at_checked(usize::from(*length))?;
            let (length, tail) = tail.split_first_chunk::<4>()?;
            let (results, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            ids.push(KeptId { index: u32::from_be_bytes(*index), id: std::str::from_utf8(id).ok()?, results });
            rest = tail;
        }
        Some((u64::from_be_bytes(*log_time_ms), ids))
    }

    /// The results kept for the transaction at `place`, from the value kept for its position.
    #[must_use]
    pub fn results_at(bytes: &[u8], place: Place) -> Option<Vec<u8>> {
        let (_, ids) = Self::decode(bytes)?;
        ids.iter().find(|kept| kept.index == place.index).map(|kept| kept.results.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_kept_is_read_again(log_time in any::<u64>(), ids in proptest::collection::vec((any::<u32>(), "[a-z]{1,128}", proptest::collection::vec(any::<u8>(), 0..50)), 0..8)) {
            let mut kept = KeptIds::new(log_time);
            for (index, id, results) in &ids {
                kept.push(KeptId { index: *index, id, results });
            }
            let (read_time, read) = KeptIds::decode(kept.as_bytes()).expect("whole");
            prop_assert_eq!(read_time, log_time);
            prop_assert_eq!(read.len(), ids.len());
            for (found, (index, id, results)) in read.iter().zip(&ids) {
                prop_assert_eq!((found.index, found.id, found.results), (*index, id.as_str(), results.as_slice()));
            }
        }

        #[test]
        fn damaged_bytes_are_refused_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = KeptIds::decode(&bytes);
        }
    }
}
