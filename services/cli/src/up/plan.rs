//! Which processes make up a system, in which order they stop, and with which settings each is started.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use holdfast_schemas::limits::COPY_MEMORY_MIN_MB;
use holdfast_schemas::message::GroupDefinition;

use super::{directory::DataDirectory, leftover::MARK};
use crate::{
    arguments::up::{Storage, UpOptions},
    error::CliError,
};

/// The order of stopping: who takes requests goes first, what everybody stands on goes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Takes requests in.
    Execution,
    /// The copies.
    Csps,
    /// Watches and defines.
    Management,
    /// The bus and the log.
    Nats,
}

impl Stage {
    /// All stages in the order of stopping.
    pub const STOPPING: [Self; 4] = [Self::Execution, Self::Csps, Self::Management, Self::Nats];
}

/// How it is seen that a child can do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It writes this file.
    File(PathBuf),
    /// It listens on this port of 127.0.0.1.
    Port(u16),
}

/// One child.
#[derive(Debug, Clone)]
pub struct ChildPlan {
    /// Its name: also of its pid file and log.
    pub name: String,
    /// When it is stopped.
    pub stage: Stage,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Settings, on top of this process's own environment.
    pub environment: Vec<(String, OsString)>,
    /// How it is seen to be ready.
    pub readiness: Readiness,
}

/// What only this command's own options are read from; the services must not see it.
pub const OWN_SETTINGS: [&str; 4] = ["HOLDFAST_DATA", "HOLDFAST_GROUP", "HOLDFAST_NATS_SERVER", "HOLDFAST_BIN_DIR"];

/// The names of the copies.
#[must_use]
pub fn csp_names(options: &UpOptions) -> Vec<String> {
    (1..=options.csps).map(|number| format!("{}-{number}", options.csp_prefix)).collect()
}

/// The group as the options define it.
#[must_use]
pub fn definition(options: &UpOptions) -> GroupDefinition {
    let mut definition = GroupDefinition::new(options.group.clone(), csp_names(options));
    definition.replication = options.replication.into();
    definition.isolation = options.isolation.into();
    definition.storage = options.storage.into();
    definition.log_replicas = options.log_replicas();
    definition
}

/// Plans the services of a system whose NATS is at `url`.
pub struct Planner<'a> {
    /// What was asked for.
    pub options: &'a UpOptions,
    /// Where it is kept.
    pub directory: &'a DataDirectory,
    /// Where NATS is.
    pub url: &'a str,
    /// Where the programs are.
    pub programs: &'a Path,
}

impl Planner<'_> {
    /// So many instances of a service: under its own name where there is one, else numbered.
    ///
    /// # Errors
    /// Its program is missing.
    pub fn services(&self, name: &str, count: u16, stage: Stage) -> Result<Vec<ChildPlan>, CliError> {
        let label = |number| if count == 1 { name.to_owned() } else { format!("{name}-{number}") };
        (1..=count).map(|number| self.service(name, &label(number), stage)).collect()
    }

    fn service(&self, name: &str, label: &str, stage: Stage) -> Result<ChildPlan, CliError> {
        // Definitions, states and assignments are kept by as many servers as the log: it would be of no use without them.
        let field = format!("HOLDFAST_{}__BUCKET_REPLICAS", name.to_ascii_uppercase());
        let mut environment = vec![(field, self.options.log_replicas().to_string().into())];
        if name == "supervision" {
            let field = "HOLDFAST_SUPERVISION__SUPERVISORS".to_owned();
            environment.push((field, self.options.supervisors.to_string().into()));
        }
        self.child(label, &format!("holdfast-{name}"), stage, environment)
    }

    /// One copy.
    ///
    /// # Errors
    /// Its program is missing.
    pub fn csp(&self, name: &str) -> Result<ChildPlan, CliError> {
        let storage = match self.options.storage {
            Storage::Surrealkv => "surrealkv",
            Storage::Mem => "mem",
        };
        let memory_mb = self.options.memory_mb.unwrap_or_else(|| share_of_memory_mb(self.options.csps));
        let settings = [
            ("GROUP", self.options.group.clone().into()),
            ("CSP", name.into()),
            ("DATA_DIR", self.directory.copy(name).into_os_string()),
            ("STORAGE", storage.into()),
            ("MEMORY_MB", memory_mb.to_string().into()),
        ];
        let environment = settings.map(|(field, value)| (format!("HOLDFAST_REPLICATION__{field}"), value)).into();
        self.child(name, "holdfast-replication", Stage::Csps, environment)
    }

    fn child(
        &self,
        name: &str,
        program: &str,
        stage: Stage,
        mut environment: Vec<(String, OsString)>,
    ) -> Result<ChildPlan, CliError> {
        let program = self.programs.join(program);
        if !program.is_file() {
            return Err(CliError::Machine(format!(
                "{} is missing: build all programs with `make up` or `cargo build --release --workspace`",
                program.display()
            )));
        }
        let ready = self.directory.ready(name);
        environment.extend([
            ("HOLDFAST_NATS__URL".to_owned(), self.url.into()),
            ("HOLDFAST_READY_FILE".to_owned(), ready.clone().into_os_string()),
            ("HOLDFAST_EXIT_ON_STDIN_EOF".to_owned(), "1".into()),
            (MARK.to_owned(), self.directory.root().into()),
        ]);
        Ok(ChildPlan {
            name: name.to_owned(),
            stage,
            program,
            arguments: Vec::new(),
            environment,
            readiness: Readiness::File(ready),
        })
    }
}

/// A quarter of the machine's memory, shared by the copies: the rest is for NATS, the page cache and everybody else.
fn share_of_memory_mb(csps: u16) -> u64 {
    const UNKNOWN_MB: u64 = 4096;
    let total_mb = fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_total_mb(&text));
    (total_mb.unwrap_or(UNKNOWN_MB) / 4 / u64::from(csps.max(1))).clamp(COPY_MEMORY_MIN_MB, 1024)
}

fn memory_total_mb(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::{COPY_MEMORY_MIN_MB, memory_total_mb, share_of_memory_mb};

    #[test]
    fn memory_is_read_and_shared() {
        assert_eq!(memory_total_mb("MemTotal:       16384000 kB\nMemFree: 1 kB\n"), Some(16_000));
        assert_eq!(memory_total_mb("nothing"), None);
        assert!(share_of_memory_mb(1) >= share_of_memory_mb(3));
        assert!(share_of_memory_mb(32) >= COPY_MEMORY_MIN_MB);
    }
}
