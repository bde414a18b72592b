//! A disk of a CSP's own that can be full: a small tmpfs on the folder of its copy, and a file in it that takes all room
//! that is left, so that the copy's next write fails with ENOSPC, as it would on a real one.
//!
//! A limit on the process (RLIMIT_FSIZE) needs no privilege, but is not the same: writes fail with EFBIG, and those of the
//! process's own log with them. So a disk is mounted where the kernel allows it, and this fault is left out elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// Room for the copies of any scenario: minutes of load fill a write buffer of 160 MiB, which stands in the journal and, while
/// it is flushed, in a table beside it.
const SIZE_MB: u64 = 1024;
const BALLAST: &str = "ballast";

/// A mounted disk. It is unmounted when it is dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts an empty disk on a folder, which is made. The error says why that is not possible.
    pub fn mount(folder: &Path) -> anyhow::Result<Self> {
        Self::mount_sized(folder, SIZE_MB)
    }

    /// The same with a size of its own.
    pub fn mount_sized(folder: &Path, size_mb: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size_mb}m"), "tmpfs"]).arg(folder))?;
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// Takes all room that is left.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = File::create(self.folder.join(BALLAST))?;
        for chunk_bytes in [1 << 20, 1 << 12] {
            let chunk = vec![0; chunk_bytes];
            loop {
                match ballast.write_all(&chunk) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Takes all room that is left but for so much.
    pub fn fill_but(&self, bytes: u64) -> anyhow::Result<()> {
        self.fill()?;
        let ballast = OpenOptions::new().write(true).open(self.folder.join(BALLAST))?;
        let taken = ballast.metadata()?.len();
        let kept = taken.checked_sub(bytes).ok_or_else(|| anyhow::anyhow!("only {taken} bytes were free"))?;
        Ok(ballast.set_len(kept)?)
    }

    /// Gives the room back.
    pub fn free(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.folder.join(BALLAST)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Copies what is on it to where it survives the disk, for whoever looks for what went wrong.
    pub fn save(&self, to: &Path) -> anyhow::Result<()> {
        self.free()?;
        run(Command::new("cp").arg("-a").arg(&self.folder).arg(to))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that was killed a moment ago may still hold a file.
        let _ = run(Command::new("umount").arg("-l").arg(&self.folder));
    }
}

/// Why no disk can be mounted here; none where it can.
pub fn impossible() -> Option<String> {
    let attempt = || {
        let folder = tempfile::tempdir()?;
        Disk::mount(folder.path()).map(drop)
    };
    attempt().err().map(|error| format!("{error:#}"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{} does not start", command.get_program().display()))?;
    let message = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}: {}", command.get_program().display(), message.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_refuses_writes_until_it_is_freed() -> anyhow::Result<()> {
        if let Some(why) = impossible() {
            eprintln!("left out, because no disk can be mounted here: {why}");
            return Ok(());
        }
        let folder = tempfile::tempdir()?;
        let disk = Disk::mount(folder.path())?;
        let write = || std::fs::write(folder.path().join("file"), vec![1; 8_192]);
        write()?;
        disk.fill()?;
        let grown = std::fs::write(folder.path().join("other"), vec![1; 8_192]);
        assert_eq!(grown.err().map(|error| error.kind()), Some(ErrorKind::StorageFull));
        disk.free()?;
        write()?;
        Ok(())
    }
}
