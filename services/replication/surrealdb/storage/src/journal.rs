//! Whether the files of a copy belong together, before SurrealKV opens them.
//!
//! SurrealKV 0.21.4 believes its manifest: tables that are not in it are removed as nobody's, and the journal is read from the file on
//! that it names, or from the next one that is there. So a manifest that is missing, or of an earlier day, would cost the copy what
//! was stored since, and nobody would notice: it would have the newest position and a hole. (Read in its `lsm.rs`, `levels/mod.rs`
//! and `wal/manager.rs`; the tests below show it.)
//!
//! Of a journal file it reads what is whole, cuts off the rest, and goes on with the next file. So a journal that lacks something in its
//! middle would leave a hole as well: a file that was overwritten with an earlier one while a process wrote to it, or one whose end was
//! lost while the file behind it was kept. Each write has a number, one higher than the one before, so that can be seen. What is missing
//! at the end of the last file makes the copy an earlier one, which reads it from the log.
//!
//! What stands at that end and is not whole is cut off here. SurrealKV opens the last file for writing first, and then puts a repaired
//! one in its place: what is committed from then on goes into a file that has no name any more, and is gone with the process. Where it
//! repairs nothing, as behind the first part of a record that fills its block, it writes behind the rest, and cannot read that again.
//! (`lsm.rs`: `CoreInner::new`; `wal/recovery.rs`: `repair_corrupted_wal_segment`.)
//!
//! A journal file that does not fit into one write buffer when it is read is read into several: because less memory was given since,
//! or because the commit that turned the buffer over stands at its end, and the process was killed before it was there twice
//! (`write_buffer`). All but the last are stored at once, and the file then counts as stored, though the last one holds a part of it:
//! killed once more, the copy would lack that part and have what was written behind it. So a copy that begins to store while it is
//! opened is closed, which stores the rest, and opened again. (`wal/recovery.rs`: `replay_wal`.)

mod records;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use records::Records;
use tracing::warn;

/// SurrealKV's manifest, in the folder `manifest` of a copy.
const MANIFEST: &str = "00000000000000000000.manifest";
/// The one version of manifests that is known here, and where they say from which journal file on the journal is needed: numbers in
/// big-endian order, behind the version and the next table's number.
const VERSION: [u8; 2] = 1_u16.to_be_bytes();
const NEEDED_FROM: std::ops::Range<usize> = 10..18;

/// SurrealKV's own lock, in a copy's folder, and where the ends are kept that were cut off.
const LOCK: &str = "LOCK";
const CUT_OFF: &str = "cut-off";

/// Refuses files with a hole, and cuts off what is not whole at the end of the journal. Says where the journal begins. A copy that
/// another process has is left to SurrealKV, which says so.
///
/// # Errors
/// When something is missing, or the folder cannot be read or written. Nothing that is whole was changed.
pub(crate) fn prepare(copy: &Path) -> io::Result<Option<u64>> {
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(copy.join(LOCK))?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(cause)) => return Err(cause),
        Ok(()) => {}
    }
    check(copy)?;
    cut_torn_end(copy)?;
    lock.unlock()?;
    begins(copy)
}

/// The number of the first journal file that is not stored in tables yet, as the manifest says; none without one.
pub(crate) fn begins(copy: &Path) -> io::Result<Option<u64>> {
    match std::fs::read(copy.join("manifest").join(MANIFEST)) {
        Ok(manifest) => Ok(needed_from(&manifest)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Refuses files with a hole. SurrealKV writes its manifest before anything else, and removes no journal file that is needed, so with
/// ends cut off at each start a killed process leaves none.
fn check(copy: &Path) -> io::Result<()> {
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
    let mut needed: Vec<_> = numbers(&journal)?.into_iter().filter(|number| *number >= needed_from).collect();
    needed.sort_unstable();
    match needed.first() {
        Some(first) if *first > needed_from => missing(&journal.join(name(needed_from))),
        _ => refuse_gap(needed.into_iter().map(|number| journal.join(name(number)))),
    }
}

/// Refuses these journal files if writes are missing between others.
fn refuse_gap(files: impl Iterator<Item = PathBuf>) -> io::Result<()> {
    let mut end = None;
    for file in files {
        let mut records = Records::open(&file)?;
        while let Some(writes) = records.next()? {
            if let Some(end) = end.filter(|end| writes.start > *end) {
                let why = format!(
                    "{} goes on with write {} of the copy where write {end} should be, so that a part of the data is missing: it was \
                     overwritten with an earlier file, or the end of one was lost when a process or a machine ended. Put the right \
                     one back, if there is one",
                    file.display(),
                    writes.start
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            end = end.max(Some(writes.end));
        }
    }
    Ok(())
}

/// Cuts off what is not whole at the end of the newest journal file: of a commit that was not finished, or of what a disk lost. What it
/// held is in the log. It is kept beside the journal where there is room for it.
fn cut_torn_end(copy: &Path) -> io::Result<()> {
    let journal = copy.join("wal");
    let Some(newest) = numbers(&journal)?.into_iter().max() else { return Ok(()) };
    let path = journal.join(name(newest));
    let mut records = Records::open(&path)?;
    while records.next()?.is_some() {}
    let Some(torn_at) = records.torn_at()? else { return Ok(()) };
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    let kept = keep_end(&mut file, torn_at, &copy.join(CUT_OFF), newest);
    file.set_len(torn_at)?;
    file.sync_all()?;
    let kept = kept.map_or_else(|cause| cause.to_string(), |kept| kept.display().to_string());
    warn!(journal = %path.display(), torn_at, kept, "the journal's end is not whole: it is cut off, and read from the log");
    Ok(())
}

fn keep_end(file: &mut File, from: u64, folder: &Path, number: u64) -> io::Result<PathBuf> {
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut end)?;
    std::fs::create_dir_all(folder)?;
    let kept = folder.join(format!("{}-{from}", name(number)));
    std::fs::write(&kept, end)?;
    Ok(kept)
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

    /// Where the records of a small journal file begin and end, each in one part.
    fn ends(journal: &[u8]) -> Vec<usize> {
        let mut ends = vec![0];
        while let Some(header) = journal.get(ends[ends.len() - 1]..).filter(|rest| rest.len() > 7) {
            ends.push(ends[ends.len() - 1] + 7 + usize::from(u16::from_be_bytes([header[4], header[5]])));
        }
        ends
    }

    /// A copy as a killed process leaves it, with so many commits in its journal, and its journal.
    async fn killed(folder: &Path, commits: u8) -> (PathBuf, Vec<u8>) {
        let (live, copy) = (folder.join("live"), folder.join("killed"));
        let opened = open(&live).await.expect("opens");
        for number in 0..commits {
            let writes = [b"a", b"b"].map(|key| (Cow::from(vec![key[0], number]), Some(&b"value"[..])));
            opened.apply(writes.into()).await.expect("is taken");
        }
        copied(&live, &copy);
        copied(&live, &folder.join("first"));
        opened.close().await.expect("closes");
        let journal = fs::read(copy.join("wal").join(name(0))).expect("is read");
        (copy, journal)
    }

    async fn why_refused(copy: &Path) -> String {
        let refused = open(copy).await.err().expect("it has a hole");
        std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default()
    }

    async fn has(copy: &Copy, key: &[u8]) -> bool {
        let snapshot = copy.snapshot().await.expect("is read");
        let value = snapshot.get(key).await.expect("is read");
        snapshot.close().await;
        value.is_some()
    }

    #[tokio::test]
    async fn a_journal_that_lacks_a_commit_between_others_is_refused_and_not_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (copy, journal) = killed(folder.path(), 5).await;
        let ends = ends(&journal);
        assert_eq!(ends.len(), 6, "{ends:?}");
        let file = copy.join("wal").join(name(0));
        let spliced = [&journal[..ends[2]], &journal[ends[3]..]].concat();
        fs::write(&file, &spliced).expect("is written");
        let why = why_refused(&copy).await;
        assert!(why.contains("should be") && why.contains("Put the right one back"), "{why}");
        assert_eq!(fs::read(&file).expect("is read"), spliced);

        // The same between two files: the first has lost its end.
        fs::write(&file, &journal[..ends[3] - 1]).expect("is written");
        fs::write(copy.join("wal").join(name(1)), &journal[ends[3]..]).expect("is written");
        let why = why_refused(&copy).await;
        assert!(why.contains(&name(1)), "{why}");
    }

    /// Whatever the end looks like: the copy is an earlier one, and what is committed from then on outlives a process that is killed.
    #[tokio::test]
    async fn a_journal_that_lost_its_end_is_that_of_an_earlier_copy() {
        let folder = tempfile::tempdir().expect("a folder");
        let (copy, journal) = killed(folder.path(), 5).await;
        let file = copy.join("wal").join(name(0));
        let last = ends(&journal)[4];
        let cut = |bytes: usize| journal[..last + bytes].to_vec();
        let zeroed = [&cut(0)[..], &[0; 100], b"rest"].concat();
        let spoilt = [&journal[..journal.len() - 1], b"?"].concat();
        for (number, end) in (5..).zip([cut(3), cut(9), zeroed, spoilt]) {
            fs::write(&file, &end).expect("is written");
            let opened = open(&copy).await.expect("opens");
            let kept = fs::read(copy.join(CUT_OFF).join(format!("{}-{last}", name(0)))).expect("is kept");
            assert_eq!(kept, end[last..], "case {number}");
            assert!(has(&opened, &[b'b', 3]).await && !has(&opened, &[b'a', 4]).await, "case {number}");
            write(&opened, &[b'c', number]).await;
            let image = folder.path().join(format!("image-{number}"));
            copied(&copy, &image);
            opened.close().await.expect("closes");
            let again = open(&image).await.expect("opens");
            assert!(has(&again, &[b'b', 3]).await && has(&again, &[b'c', number]).await, "case {number}");
            again.close().await.expect("closes");
            // The next case begins with the copy as it was killed.
            fs::remove_dir_all(&copy).expect("is removed");
            copied(&folder.path().join("first"), &copy);
        }
    }

    /// Less memory was given to the copy since, so its journal needs two write buffers.
    #[tokio::test]
    async fn a_journal_that_needs_several_write_buffers_is_stored_before_it_counts_as_stored() {
        const MIB: u64 = 1 << 20;
        let folder = tempfile::tempdir().expect("a folder");
        let (live, killed, again) =
            (folder.path().join("live"), folder.path().join("killed"), folder.path().join("again"));
        let large = CopyOptions {
            kind: StorageKind::SurrealKv,
            path: live.clone(),
            memory_bytes: 80 * MIB,
            write_buffer_min_bytes: 64 * MIB,
        };
        let copy = Copy::open(&large).await.expect("opens");
        let value = [7_u8; 1_000];
        for number in 0..24 {
            let writes = (0..4_u8).flat_map(|high| (0..=u8::MAX).map(move |low| vec![b'k', number, high, low]));
            copy.apply(writes.map(|key| (Cow::from(key), Some(&value[..]))).collect()).await.expect("is taken");
        }
        copied(&live, &killed);
        assert_eq!(begins(&killed).expect("is read"), Some(0), "nothing was stored yet");

        let copy = open(&killed).await.expect("opens with less memory");
        assert_ne!(begins(&killed).expect("is read"), Some(0), "one write buffer was enough");
        // As a process that is killed now leaves it: nothing that it needs is in a journal file that counts as stored.
        copied(&killed, &again);
        let stored = open(&again).await.expect("opens");
        for number in 0..24 {
            let key = [b'k', number, 3, u8::MAX];
            assert!(has(&copy, &key).await && has(&stored, &key).await, "{number}");
        }
    }

    #[tokio::test]
    async fn a_copy_that_is_open_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let opened = open(folder.path()).await.expect("opens");
        write(&opened, b"ab").await;
        let file = folder.path().join("wal").join(name(0));
        let torn = [&fs::read(&file).expect("is read")[..], b"half"].concat();
        fs::write(&file, &torn).expect("is written");
        prepare(folder.path()).expect("SurrealKV says that it is locked");
        assert_eq!(fs::read(&file).expect("is read"), torn);
        opened.close().await.expect("closes");
    }

    /// Records of several parts and blocks, more than one file, and what closing, opening and a start after a kill write.
    #[tokio::test]
    async fn what_surrealkv_wrote_itself_is_whole() {
        const MIB: usize = 1 << 20;
        let folder = tempfile::tempdir().expect("a folder");
        let mut live = folder.path().join("live");
        let mut writes = 0;
        for round in 0_u8..4 {
            let copy = open(&live).await.expect("opens");
            for number in 0_u8..30 {
                let text = vec![number; usize::from(number) * MIB / 10];
                copy.apply(vec![(Cow::from(vec![round, number]), Some(&text[..]))]).await.expect("is taken");
            }
            let image = folder.path().join(format!("image-{round}"));
            copied(&live, &image);
            check(&image).expect("as a killed process leaves it");
            for number in numbers(&image.join("wal")).expect("are listed") {
                let mut records = Records::open(&image.join("wal").join(name(number))).expect("opens");
                while records.next().expect("is read").is_some() {
                    writes += 1;
                }
                assert_eq!(records.torn_at().expect("is read"), None, "round {round}, file {number}");
            }
            copy.close().await.expect("closes");
            if round % 2 == 0 {
                live = image;
            }
        }
        assert!(writes > 10, "only {writes} were read");
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
