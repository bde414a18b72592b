//! Whether the files of a copy belong together, before SurrealKV opens them.
//!
//! SurrealKV 0.21.4 believes its manifest: tables that are not in it are removed as nobody's, and the journal is read from the file on
//! that it names, or from the next one that is there. So a manifest that is missing, or of an earlier day, would cost the copy what
//! was stored since, and nobody would notice: it would have the newest position and a hole. (Read in its `lsm.rs`, `levels/mod.rs`
//! and `wal/manager.rs`; the tests below show it.)

use std::io;
use std::path::Path;

/// SurrealKV's manifest, in the folder `manifest` of a copy.
const MANIFEST: &str = "00000000000000000000.manifest";
/// The one version of manifests that is known here, and where they say from which journal file on the journal is needed: numbers in
/// big-endian order, behind the version and the next table's number.
const VERSION: [u8; 2] = 1_u16.to_be_bytes();
const NEEDED_FROM: std::ops::Range<usize> = 10..18;

/// Refuses files with a hole. SurrealKV writes its manifest before anything else, and removes no journal file that is needed, so a
/// killed process leaves none.
///
/// # Errors
/// When something is missing, or the folder cannot be read. Nothing was changed.
pub(crate) fn check(copy: &Path) -> io::Result<()> {
    let (manifest, journal) = (copy.join("manifest").join(MANIFEST), copy.join("wal"));
    let missing = |what: &Path| {
        let why = format!(
            "{} is missing, and without it a part of the data beside it cannot be read: put it back",
            what.display()
        );
        Err(io::Error::new(io::ErrorKind::NotFound, why))
    };
    if !manifest.try_exists()? {
        let has_data = has_files(&copy.join("sstables"))? || has_files(&journal)?;
        return if has_data { missing(&manifest) } else { Ok(()) };
    }
    let Some(needed_from) = needed_from(&std::fs::read(&manifest)?) else {
        // SurrealKV says what is wrong with it.
        return Ok(());
    };
    let first = numbers(&journal)?.into_iter().filter(|number| *number >= needed_from).min();
    match first {
        Some(first) if first > needed_from => missing(&journal.join(name(needed_from))),
        _ => Ok(()),
    }
}

/// A journal file's name.
pub(crate) fn name(number: u64) -> String {
    format!("{number:020}.wal")
}

/// The number of a journal file.
pub(crate) fn number(path: &Path) -> Option<u64> {
    let is_journal = path.extension().is_some_and(|extension| extension == "wal");
    path.file_stem().filter(|_| is_journal)?.to_str()?.parse().ok()
}

/// The numbers of the journal files in a folder, which need not be there.
pub(crate) fn numbers(journal: &Path) -> io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(journal) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        numbers.extend(number(&entry?.path()));
    }
    Ok(numbers)
}

fn needed_from(manifest: &[u8]) -> Option<u64> {
    let number = manifest.get(NEEDED_FROM)?.try_into().ok()?;
    manifest.starts_with(&VERSION).then(|| u64::from_be_bytes(number))
}

/// Whether there is a file that is not empty.
fn has_files(folder: &Path) -> io::Result<bool> {
    let entries = match std::fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        if entry?.metadata()?.len() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fs;

    use super::*;
    use crate::{Copy, CopyOptions, StorageKind};

    async fn open(folder: &Path) -> Result<Copy, crate::CopyError> {
        const MIB: u64 = 1 << 20;
        let options = CopyOptions {
            kind: StorageKind::SurrealKv,
            path: folder.to_owned(),
            memory_bytes: 32 * MIB,
            write_buffer_min_bytes: 16 * MIB,
        };
        Copy::open(&options).await
    }

    async fn write(copy: &Copy, key: &[u8]) {
        copy.apply(vec![(Cow::from(key), Some(b"value"))]).await.expect("is taken");
    }

    fn copied(from: &Path, to: &Path) {
        for folder in ["manifest", "sstables", "wal"] {
            fs::create_dir_all(to.join(folder)).expect("is made");
            for file in fs::read_dir(from.join(folder)).expect("is there") {
                let file = file.expect("is read").path();
                fs::copy(&file, to.join(folder).join(file.file_name().expect("has a name"))).expect("is copied");
            }
        }
    }

    #[tokio::test]
    async fn a_manifest_of_an_earlier_day_is_refused_and_costs_no_table() {
        let folder = tempfile::tempdir().expect("a folder");
        let (live, copy, restored) =
            (folder.path().join("live"), folder.path().join("copy"), folder.path().join("restored"));
        for (key, day) in [(b"a", &copy), (b"b", &restored)] {
            let opened = open(&live).await.expect("opens");
            write(&opened, key).await;
            opened.close().await.expect("closes");
            drop(opened);
            copied(&live, day);
        }
        // As a process that is killed leaves it: what was written last is in the journal.
        let opened = open(&live).await.expect("opens");
        write(&opened, b"c").await;
        copied(&live, &restored);
        let whole = folder.path().join("whole");
        copied(&live, &whole);
        let again = open(&whole).await.expect("a copy of a killed process opens");
        let snapshot = again.snapshot().await.expect("is read");
        for key in [b"a", b"b", b"c"] {
            assert!(snapshot.get(key).await.expect("is read").is_some(), "{key:?}");
        }

        // The manifest of the first day, beside all that was stored since.
        fs::copy(copy.join("manifest").join(MANIFEST), restored.join("manifest").join(MANIFEST)).expect("is copied");
        let tables = fs::read_dir(restored.join("sstables")).expect("is there").count();
        let refused = open(&restored).await.err().expect("it has a hole");
        let why = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
        assert!(why.contains(".wal is missing") && why.contains("put it back"), "{why}");
        assert_eq!(fs::read_dir(restored.join("sstables")).expect("is there").count(), tables, "tables were removed");
    }

    #[tokio::test]
    async fn data_without_a_storage_version_is_found_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = open(folder.path()).await.expect("opens");
        assert!(!copy.lacks_version().await.expect("is read"), "it is empty");
        write(&copy, b"/!ns").await;
        assert!(copy.lacks_version().await.expect("is read"));
        write(&copy, b"!bv").await;
        assert!(!copy.lacks_version().await.expect("is read"), "a version is about to be settled");
    }
}
