//! Notices when SurrealKV has begun a new write buffer.
//!
//! SurrealKV 0.21.4 writes a commit into its journal first, then into its write buffer. A commit that finds the buffer full goes into
//! a new one, and a new journal file begins with that; but the commit itself stands at the end of the old file. The old file is
//! deleted as soon as the old buffer is stored, and a process that is killed then loses this one commit, while it keeps those behind
//! it: a hole, of which nobody learns. (Read in its `lsm.rs`: `write`, `apply`, `rotate_memtable`; the test below shows it.)
//!
//! So whoever commits asks here afterwards, and writes the same once more if a buffer was turned over. Then it stands in the new
//! file too, before anything behind it does. If that turns the buffer over again, what it wrote the first time is in a buffer whose
//! file has the second record, so twice is enough. A kill between the two leaves the newest commit at the end of the old file, where
//! the next start finds it (`journal`).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::journal::{name, numbers};

/// The journal files of one copy.
#[derive(Debug)]
pub(crate) struct WriteBuffer {
    journal: PathBuf,
    newest: AtomicU64,
}

impl WriteBuffer {
    /// That of the copy in `folder`, which is open.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn of(folder: &Path) -> std::io::Result<Self> {
        let journal = folder.join("wal");
        let newest = numbers(&journal)?.into_iter().max().unwrap_or_default();
        Ok(Self { journal, newest: AtomicU64::new(newest) })
    }

    /// Whether a new buffer was begun since this was asked last. Costs one look for one file.
    pub(crate) fn was_turned_over(&self) -> bool {
        let before = self.newest.load(Ordering::Relaxed);
        let mut newest = before;
        while self.journal.join(name(newest + 1)).exists() {
            newest += 1;
        }
        self.newest.store(newest, Ordering::Relaxed);
        newest > before
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Copy, CopyOptions, StorageKind};

    const MIB: u64 = 1 << 20;
    const PATIENCE: Duration = Duration::from_secs(60);
    /// Names the folder in a process that a test starts to be killed: this test program, told to run that test only.
    const FOLDER: &str = "HOLDFAST_TEST_FOLDER";
    const WRITTEN: &str = "all is written, and the first journal files are gone";

    fn options(path: &Path) -> CopyOptions {
        CopyOptions {
            kind: StorageKind::SurrealKv,
            path: path.to_owned(),
            memory_bytes: 32 * MIB,
            write_buffer_min_bytes: 16 * MIB,
        }
    }

    fn key(number: u32) -> Vec<u8> {
        format!("key {number:04}").into_bytes()
    }

    /// Writes so much that the write buffer turns over several times, says so when the first journal files are gone, and waits to
    /// be killed.
    async fn write_until_killed(folder: &Path, bytes: usize, commits: u32) {
        let copy = Copy::open(&options(folder)).await.expect("opens");
        let value = vec![7_u8; bytes];
        for number in 0..commits {
            copy.apply(vec![(Cow::from(key(number)), Some(value.as_slice()))]).await.expect("is taken");
        }
        let begun = Instant::now();
        while folder.join("wal").join(name(1)).exists() {
            assert!(begun.elapsed() < PATIENCE, "the second buffer is not stored");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Not with `println`, which the test harness keeps to itself.
        std::io::stdout().write_all(format!("\n{WRITTEN}\n").as_bytes()).expect("somebody listens");
        std::future::pending::<()>().await;
    }

    /// What is missing in a copy whose process was killed with -9 behind so many commits. A folder that is copied from a living
    /// process would not show that: its files are of different moments.
    async fn missing_after_a_kill(test: &str, bytes: usize, commits: u32) -> Vec<u32> {
        if let Some(folder) = std::env::var_os(FOLDER) {
            write_until_killed(Path::new(&folder), bytes, commits).await;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "--nocapture", &format!("write_buffer::tests::{test}")])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(writer.stdout.take().expect("its output")).lines();
        let is_written = lines.by_ref().map_while(Result::ok).any(|line| line == WRITTEN);
        writer.kill().expect("is killed");
        writer.wait().expect("ends");
        assert!(is_written, "the process ended before all was written");

        let copy = Copy::open(&options(folder.path())).await.expect("opens again");
        let snapshot = copy.snapshot().await.expect("can be read");
        let mut missing = Vec::new();
        for number in 0..commits {
            if snapshot.get(&key(number)).await.expect("is read").is_none() {
                missing.push(number);
            }
        }
        missing
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_killed_copy_has_the_commits_that_turned_its_buffer_over() {
        let none: Vec<u32> = Vec::new();
        let test = "a_killed_copy_has_the_commits_that_turned_its_buffer_over";
        assert_eq!(missing_after_a_kill(test, MIB as usize, 60).await, none);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn also_when_each_fills_more_than_half_of_it() {
        let none: Vec<u32> = Vec::new();
        assert_eq!(missing_after_a_kill("also_when_each_fills_more_than_half_of_it", 9 * MIB as usize, 6).await, none);
    }
}
