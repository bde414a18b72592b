//! What a system under test consists of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use holdfast_schemas::message::TaskDefinition;

/// How many processes of which kind, how the group is defined, and which faults tests can cause in it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the programs lie; none takes those under test.
    pub programs: Option<PathBuf>,
    /// CSPs that run from the start, called `csp-1`, `csp-2`, ...
    pub csps: usize,
    /// CSPs that are part of the definition, and are started by the test.
    pub csps_later: usize,
    /// `peer` or `primary`.
    pub replication: &'static str,
    /// `serializable` or `snapshot`.
    pub isolation: &'static str,
    /// `surrealkv` or `mem`.
    pub storage: &'static str,
    /// Tasks of the group's own.
    pub tasks: Vec<TaskDefinition>,
    /// Servers, 1 or 3.
    pub nats_servers: usize,
    /// Whether services are told to keep their buckets on all servers from the start. By default they begin with one.
    pub told_bucket_replicas: bool,
    /// `sync_interval` of the servers; none leaves nats-server's default.
    pub sync_interval: Option<String>,
    /// Instances of the execution service, called `execution-1`, ...
    pub executions: usize,
    /// Instances of the supervision service, called `supervision-1`, ...
    pub supervisions: usize,
    /// Whether every service reaches NATS through a network of its own that tests can cut.
    pub proxied: bool,
    /// Whether every CSP has a disk of its own that tests can fill. See [`super::disks_impossible`].
    pub own_disks: bool,
    /// Whether tests can step the wall clock of every service.
    pub own_clocks: bool,
    /// The step of a start or of the commit path at which CSPs stop when they are told to. See [`super::System::stop_at_step`].
    pub stop_at: Option<&'static str>,
    /// Whether tests can hold what CSPs apply. See [`super::System::hold_apply`].
    pub holds_apply: bool,
    /// Promises that CSPs break on purpose, as `HOLDFAST_FAULT` names them: to prove that the checks notice.
    pub sabotage: Option<&'static str>,
    /// The only CSP that breaks them; all do if there is none.
    pub saboteur: Option<&'static str>,
    /// How long ids and outcomes are kept.
    pub ids_kept_ms: u64,
    /// Environment for the CSPs, on top of what the harness sets.
    pub csp_environment: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            programs: None,
            csps: 3,
            csps_later: 0,
            replication: "peer",
            isolation: "serializable",
            storage: "surrealkv",
            tasks: Vec::new(),
            nats_servers: 1,
            told_bucket_replicas: true,
            sync_interval: None,
            executions: 1,
            supervisions: 1,
            proxied: false,
            own_disks: false,
            own_clocks: false,
            stop_at: None,
            holds_apply: false,
            sabotage: None,
            saboteur: None,
            ids_kept_ms: 600_000,
            csp_environment: BTreeMap::new(),
        }
    }
}

impl Options {
    /// Three CSPs as peers.
    pub fn peer() -> Self {
        Self::default()
    }

    /// Three CSPs of which the first is primary.
    pub fn primary() -> Self {
        Self { replication: "primary", ..Self::default() }
    }

    /// The same system with more than one of everything that watches and routes, and a log that survives a power cut: what
    /// a group needs to go on whatever is lost.
    pub fn redundant(self) -> Self {
        Self { supervisions: 3, executions: 2, sync_interval: Some("always".into()), ..self }
    }

    /// The same system, in which tests can cause every fault that this machine allows.
    pub fn breakable(self) -> Self {
        let own_disks = self.storage == "surrealkv" && super::disks_impossible().is_none();
        Self { proxied: true, own_disks, own_clocks: true, holds_apply: true, ..self }
    }
}
