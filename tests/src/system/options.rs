//! What a system under test consists of.

use std::collections::BTreeMap;

/// How many processes of which kind, and how the group is defined.
#[derive(Clone, Debug)]
pub struct Options {
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
    /// Servers, 1 or 3.
    pub nats_servers: usize,
    /// `sync_interval` of the servers; none leaves nats-server's default.
    pub sync_interval: Option<String>,
    /// Instances of the execution service.
    pub executions: usize,
    /// Whether every service reaches NATS through a proxy of its own that tests can cut.
    pub proxied: bool,
    /// How long ids and outcomes are kept.
    pub ids_kept_ms: u64,
    /// Environment for the CSPs, on top of what the harness sets.
    pub csp_environment: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            csps: 3,
            csps_later: 0,
            replication: "peer",
            isolation: "serializable",
            storage: "surrealkv",
            nats_servers: 1,
            sync_interval: None,
            executions: 1,
            proxied: false,
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
}
