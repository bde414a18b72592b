//! The data folder of a system: what lies where, and who may use it.
//!
//! One `holdfast up` owns a folder at a time: it holds a lock on `run/up.lock`, which the kernel gives back however the
//! process ends. Everything else under `run/` is for others to read: process ids, readiness, the system's address.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// What a running system says about itself in `run/system.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemCard {
    /// Address of NATS.
    pub nats: String,
    /// The group.
    pub group: String,
    /// Its copies.
    pub csps: Vec<String>,
}

/// The paths below a data folder.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    root: PathBuf,
}

/// Proof that this process owns the folder; given back when dropped.
#[derive(Debug)]
pub struct Ownership {
    _lock: Flock<File>,
}

impl DataDirectory {
    /// The folder, which need not exist yet.
    ///
    /// # Errors
    /// The current folder is gone, so that a relative path means nothing.
    pub fn new(root: &Path) -> Result<Self, CliError> {
        let root = std::path::absolute(root).map_err(CliError::file("find", root))?;
        Ok(Self { root })
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a NATS server keeps its streams.
    #[must_use]
    pub fn nats_store(&self, name: &str) -> PathBuf {
        self.root.join("nats").join(name)
    }

    /// The generated configuration of a NATS server.
    #[must_use]
    pub fn nats_configuration(&self, name: &str) -> PathBuf {
        self.root.join("nats").join(format!("{name}.conf"))
    }

    /// Where a copy keeps its database.
    #[must_use]
    pub fn copy(&self, csp: &str) -> PathBuf {
        self.root.join("csp").join(csp)
    }

    /// The log of a child.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("log").join(format!("{name}.log"))
    }

    /// The process id of a child; there only while it runs.
    #[must_use]
    pub fn pid(&self, name: &str) -> PathBuf {
        self.run(&format!("{name}.pid"))
    }

    /// Written by a service once it is ready.
    #[must_use]
    pub fn ready(&self, name: &str) -> PathBuf {
        self.run(&format!("{name}.ready"))
    }

    /// While this file is there, the child is to stay stopped.
    #[must_use]
    pub fn stop_wish(&self, name: &str) -> PathBuf {
        self.run(&format!("{name}.stop"))
    }

    /// The id of the system that is kept here, made when it is first asked for. It goes where the folder goes.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn system_id(&self) -> Result<String, CliError> {
        let path = self.root.join("system.id");
        match fs::read_to_string(&path) {
            Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(CliError::file("read", path)(error)),
        }
        let id = ulid::Ulid::generate().to_string();
        write_whole(&path, &id).map_err(CliError::file("write", path))?;
        Ok(id)
    }

    fn run(&self, file: &str) -> PathBuf {
        self.root.join("run").join(file)
    }

    /// Makes the folders and takes ownership.
    ///
    /// # Errors
    /// The folder cannot be written, or another `holdfast up` runs on it.
    pub fn take(&self) -> Result<Ownership, CliError> {
        for folder in ["run", "log", "nats", "csp"] {
            let path = self.root.join(folder);
            fs::create_dir_all(&path).map_err(CliError::file("make", &path))?;
        }
        let lock = self.lock(true)?.ok_or_else(|| {
            CliError::Machine(format!(
                "a system runs on {} already: stop it with Ctrl-C where it runs, or choose another folder with --data",
                self.root.display()
            ))
        })?;
        Ok(Ownership { _lock: lock })
    }

    /// Whether a `holdfast up` owns the folder now.
    ///
    /// # Errors
    /// The lock cannot be looked at.
    pub fn is_owned(&self) -> Result<bool, CliError> {
        Ok(self.run("up.lock").exists() && self.lock(false)?.is_none())
    }

    fn lock(&self, create: bool) -> Result<Option<Flock<File>>, CliError> {
        let path = self.run("up.lock");
        let file = OpenOptions::new()
            .write(true)
            .create(create)
            .truncate(false)
            .open(&path)
            .map_err(CliError::file("open", &path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(CliError::file("lock", path)(errno.into())),
        }
    }

    /// Says where the system is, for `holdfast csp` and for scripts.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_card(&self, card: &SystemCard) -> Result<(), CliError> {
        let path = self.run("system.json");
        let text = serde_json::to_string(card).unwrap_or_default();
        write_whole(&path, &text).map_err(CliError::file("write", path))
    }

    /// What the running system said of itself.
    ///
    /// # Errors
    /// No system runs on the folder, or it has not got that far.
    pub fn read_card(&self) -> Result<SystemCard, CliError> {
        let owned = self.run("up.lock").exists() && self.is_owned()?;
        let text = if owned { fs::read_to_string(self.run("system.json")).ok() } else { None };
        text.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
            CliError::Unavailable(format!(
                "no system runs on {}: start one with `holdfast up --data {0}`, or name its folder with --data",
                self.root.display()
            ))
        })
    }

    /// The names of all children with a pid file, and the process ids in them.
    #[must_use]
    pub fn recorded_pids(&self) -> Vec<(String, i32)> {
        let Ok(entries) = fs::read_dir(self.root.join("run")) else { return Vec::new() };
        let mut found: Vec<(String, i32)> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let name = path.file_name()?.to_str()?.strip_suffix(".pid")?.to_owned();
                Some((name, fs::read_to_string(&path).ok()?.trim().parse().ok()?))
            })
            .collect();
        found.sort();
        found
    }

    /// Removes what only a running system has.
    pub fn clear_run(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("run")) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.file_name().is_some_and(|name| name != "up.lock") {
                // What cannot be removed is overwritten by its next writer.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Writes a file so that a reader sees all of it or nothing.
///
/// # Errors
/// The folder cannot be written.
pub fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(draft, path)
}

#[cfg(test)]
mod tests {
    use super::{DataDirectory, SystemCard};

    #[test]
    fn a_folder_has_one_owner_and_is_free_again_when_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path()).unwrap();
        assert!(!directory.is_owned().unwrap());
        let ownership = directory.take().unwrap();
        assert!(directory.is_owned().unwrap());
        let refusal = directory.take().unwrap_err().to_string();
        assert!(refusal.contains("runs on") && refusal.contains("--data"), "{refusal}");
        drop(ownership);
        assert!(!directory.is_owned().unwrap());
        directory.take().unwrap();
    }

    #[test]
    fn the_card_is_read_only_while_the_system_runs() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path()).unwrap();
        let card = SystemCard { nats: "nats://127.0.0.1:1".into(), group: "g".into(), csps: vec!["csp-1".into()] };
        let ownership = directory.take().unwrap();
        directory.write_card(&card).unwrap();
        assert_eq!(directory.read_card().unwrap(), card);
        drop(ownership);
        assert!(directory.read_card().unwrap_err().to_string().contains("holdfast up --data"));
    }

    #[test]
    fn a_system_keeps_its_id() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directory = DataDirectory::new(folder.path()).unwrap();
        let _ownership = directory.take().unwrap();
        let id = directory.system_id().unwrap();
        directory.clear_run();
        assert_eq!(directory.system_id().unwrap(), id);
        assert_ne!(DataDirectory::new(other.path()).unwrap().system_id().unwrap(), id);
    }

    #[test]
    fn pid_files_are_found_and_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(folder.path()).unwrap();
        let _ownership = directory.take().unwrap();
        super::write_whole(&directory.pid("csp-2"), "12\n").unwrap();
        super::write_whole(&directory.pid("csp-1"), "11\n").unwrap();
        assert_eq!(directory.recorded_pids(), [("csp-1".to_owned(), 11), ("csp-2".to_owned(), 12)]);
        directory.clear_run();
        assert!(directory.recorded_pids().is_empty());
        assert!(directory.is_owned().unwrap());
    }
}
