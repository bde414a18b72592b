//! How much of the inner engine's write buffer a commit takes.
//!
//! SurrealKV 0.21.4 puts a commit whole into one arena of fixed size, and reserves room for it beforehand as if every entry got
//! the tallest tower of its skip list: 192 bytes of node, 7 for alignment, then key and value (`memtable/skiplist.rs`,
//! `max_entry_bytes`); the value has two bytes in front that say how it is kept (`vlog.rs`, `ValueLocation`). What does not fit
//! into an empty arena is refused, but stands in the engine's own log by then, so the copy cannot be opened ever again. An empty
//! arena holds the two ends of the list. [`arena_bytes`] is therefore exact, not a guess; a test holds it against the engine.

/// What an entry takes beside its key and value.
pub const WRITE_BYTES: u64 = 192 + 7 + 2;
/// What an empty arena holds: its first byte, which is never used, and the two ends of the list.
const EMPTY_BYTES: u64 = 1 + 2 * (192 + 7);

/// The smallest write buffer that takes a commit of so many writes, whose keys and values have so many bytes together.
#[must_use]
pub const fn arena_bytes(writes: u64, bytes: u64) -> u64 {
    EMPTY_BYTES + writes * WRITE_BYTES + bytes
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::copy::{Copy, CopyError, CopyOptions, StorageKind};

    fn options(folder: &std::path::Path, write_buffer_min_bytes: u64) -> CopyOptions {
        let path = folder.to_path_buf();
        CopyOptions { kind: StorageKind::SurrealKv, path, memory_bytes: 0, write_buffer_min_bytes }
    }

    async fn apply(copy: &Copy, writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<(), CopyError> {
        copy.apply(writes.iter().map(|(key, value)| (Cow::from(key), value.as_deref())).collect()).await
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// What a write buffer is reckoned for fits into it, and can be opened again; one byte less would not do.
        #[test]
        fn the_reckoning_is_exact(sizes in proptest::collection::vec((1..200_usize, proptest::option::of(0..3_000_usize)), 1..200)) {
            let writes: Vec<_> = (0_u32..).zip(&sizes).map(|(number, (key, value))| {
                ([number.to_be_bytes().as_slice(), &vec![7; *key]].concat(), value.map(|length| vec![number as u8; length]))
            }).collect();
            let bytes: usize = writes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
            // The two bytes of how a value is kept are not there for a key that is deleted.
            let deletes = writes.iter().filter(|(_, value)| value.is_none()).count() as u64;
            let needed = arena_bytes(writes.len() as u64, bytes as u64);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let folder = tempfile::tempdir().expect("a folder");
                let small = Copy::open(&options(folder.path(), needed - 2 * deletes - 1)).await.expect("opens");
                assert!(apply(&small, &writes).await.is_err(), "it would fit into less");
                drop(small);
                let folder = tempfile::tempdir().expect("a folder");
                let copy = Copy::open(&options(folder.path(), needed)).await.expect("opens");
                // What is there already is moved out of the way.
                apply(&copy, &writes).await.expect("it fits");
                apply(&copy, &writes).await.expect("it fits again");
                copy.close().await.expect("closes");
                let copy = Copy::open(&options(folder.path(), needed)).await.expect("opens again");
                let snapshot = copy.snapshot().await.expect("a view");
                for (key, value) in &writes {
                    assert_eq!(&snapshot.get(key).await.expect("reads"), value);
                }
            });
        }
    }
}
