//! What a group is: who holds copies, who may write, and what its transactions are promised.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PoolDefinition, SupervisionPolicy, TaskDefinition, UpdateWindows, pool, supervision_policy, task};
use crate::codec::{DecodeError, Kind, Message};
use crate::limits::{IDS_KEPT_MS, MAX_CSPS, MAX_IDS_KEPT_MS, MIN_IDS_KEPT_BEFORE_MS};
use crate::name::{self, NameKind};

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Replication {
    /// The primary of the current epoch; the others hand it their writes.
    #[default]
    Primary,
    /// Every CSP.
    Peer,
}

/// What transactions are promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// As if one ran after the other: what was read is certified too.
    #[default]
    Serializable,
    /// A transaction reads one state, and no two that wrote the same key both take effect.
    Snapshot,
}

/// Where a copy is kept. The log is what is durable; a copy can always be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// In files.
    #[default]
    Surrealkv,
    /// In memory: rebuilt from the log at every start.
    Mem,
}

/// A group of copies of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupDefinition {
    /// Its name.
    pub name: String,
    /// The CSPs that hold a copy. The first is the first primary.
    #[schemars(length(min = 1, max = 32))]
    pub csps: Vec<String>,
    /// Who may write.
    #[serde(default)]
    pub replication: Replication,
    /// What transactions are promised.
    #[serde(default)]
    pub isolation: Isolation,
    /// Where the copies are kept.
    #[serde(default)]
    pub storage: Storage,
    /// How long ids and outcomes are kept, in milliseconds.
    #[serde(default = "ids_kept_ms")]
    #[schemars(range(min = 120_000, max = 86_400_000))]
    pub ids_kept_ms: u64,
    /// How many NATS servers hold the log: 1, 3 or 5.
    #[serde(default = "log_replicas")]
    pub log_replicas: u8,
    /// Tasks of the group's own, and wishes about the task of being primary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tasks: Vec<TaskDefinition>,
    /// Parts of its CSPs that queries may be bound to. May be changed while the group runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub pools: Vec<PoolDefinition>,
    /// When updates are taken; always if it does not say. May be changed while the group runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_windows: Option<UpdateWindows>,
    /// How patient supervision is with its CSPs.
    #[serde(default, skip_serializing_if = "SupervisionPolicy::is_default")]
    pub supervision: SupervisionPolicy,
    /// Which version of the definition this is; set by Holdfast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

fn ids_kept_ms() -> u64 {
    IDS_KEPT_MS
}

fn log_replicas() -> u8 {
    1
}

impl GroupDefinition {
    /// A group with these CSPs and everything else by default.
    pub fn new(name: impl Into<String>, csps: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: name.into(),
            csps: csps.into_iter().map(Into::into).collect(),
            replication: Replication::default(),
            isolation: Isolation::default(),
            storage: Storage::default(),
            ids_kept_ms: IDS_KEPT_MS,
            log_replicas: log_replicas(),
            tasks: Vec::new(),
            pools: Vec::new(),
            update_windows: None,
            supervision: SupervisionPolicy::default(),
            revision: None,
        }
    }

    fn check_csps(&self) -> Result<(), DecodeError> {
        if !(1..=MAX_CSPS).contains(&self.csps.len()) {
            return Err(DecodeError::refused("csps", format!("must name 1 to {MAX_CSPS} CSPs")));
        }
        for (index, csp) in self.csps.iter().enumerate() {
            name::validate(NameKind::Csp, csp).map_err(|error| refused_name("csps", &error))?;
            if self.csps.iter().take(index).any(|earlier| earlier == csp) {
                return Err(DecodeError::refused("csps", format!("names {csp:?} twice: name each CSP once")));
            }
        }
        Ok(())
    }
}

impl Message for GroupDefinition {
    const TYPE: &'static str = "io.holdfast.administration.v1.group_definition";
    const KIND: Kind = Kind::Event;

    fn check(&self) -> Result<(), DecodeError> {
        name::validate(NameKind::Group, &self.name).map_err(|error| refused_name("name", &error))?;
        self.check_csps()?;
        // New groups are held to more by administration; what is defined already goes on.
        if !(MIN_IDS_KEPT_BEFORE_MS..=MAX_IDS_KEPT_MS).contains(&self.ids_kept_ms) {
            return Err(DecodeError::refused(
                "ids_kept_ms",
                format!("is {}: send {MIN_IDS_KEPT_BEFORE_MS} to {MAX_IDS_KEPT_MS}", self.ids_kept_ms),
            ));
        }
        if !matches!(self.log_replicas, 1 | 3 | 5) {
            return Err(DecodeError::refused("log_replicas", format!("is {}: send 1, 3 or 5", self.log_replicas)));
        }
        task::check(&self.tasks, self.replication)?;
        pool::check(&self.pools, &self.csps)?;
        supervision_policy::check(&self.supervision)?;
        self.update_windows.as_ref().map_or(Ok(()), UpdateWindows::check)
    }
}

fn refused_name(field: &'static str, error: &name::InvalidName) -> DecodeError {
    DecodeError::refused(field, format!("is refused: {error}"))
}
