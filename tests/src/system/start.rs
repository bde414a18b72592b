//! Brings a system up: NATS, administration, the group, then everything else, each step behind a condition.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::disk::Disk;
use super::process::{self, Process};
use super::services::{members, ready_file, specification};
use super::{GROUP, Network, Options, PATIENCE, Routes, System, nats_server};
use crate::client::{Client, Request};
use crate::wait::until;

impl System {
    /// Starts a system and waits until it serves.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("holdfast-test-").tempdir()?.keep();
        for part in ["log", "run"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let system = Self::prepare(options, &folder).await.inspect_err(|_| {
            eprintln!("the system did not start; see {}", folder.display());
        })?;
        if let Err(error) = system.bring_up().await {
            system.keep_data();
            return Err(error);
        }
        Ok(system)
    }

    /// Starts NATS, and makes everything else ready to be started.
    async fn prepare(options: Options, folder: &Path) -> anyhow::Result<Self> {
        let ports = nats_server::Ports::free(options.nats_servers)?;
        let routes = if options.proxied { Some(Routes::start(&ports.route).await?) } else { None };
        let servers = nats_server::servers(&ports, options.sync_interval.as_deref(), folder, routes.as_ref())?;
        let urls: Vec<String> = ports.client.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut processes = BTreeMap::new();
        for server in servers {
            let name = server.name.clone();
            let mut process = Process::new(server);
            process.start()?;
            processes.insert(name, process);
        }
        let (mut networks, mut disks) = (BTreeMap::new(), BTreeMap::new());
        for member in members(&options) {
            let mut url = urls.join(",");
            if options.proxied {
                let network = Network::start(&ports.client).await?;
                url = network.url();
                networks.insert(member.name.clone(), network);
            }
            if options.own_disks && member.kind == "replication" {
                disks.insert(member.name.clone(), Disk::mount(&folder.join(&member.name))?);
            }
            let specification = specification(&member, &options, folder, &url)?;
            processes.insert(member.name, Process::new(specification));
        }
        let client = connect(&urls).await?;
        let (processes, keep, folder) = (Mutex::new(processes), Mutex::new(false), folder.to_path_buf());
        Ok(Self { options, folder, processes, networks, routes, disks, client, urls, keep })
    }

    async fn bring_up(&self) -> anyhow::Result<()> {
        self.start_ready("administration-1").await?;
        self.define_group(&json!({})).await?;
        let later = self.later();
        let others: Vec<String> = self.names().into_iter().filter(|name| !later.contains(name)).collect();
        for name in &others {
            self.start_process(name)?;
        }
        for name in others.iter().filter(|name| !name.starts_with("nats-")) {
            self.wait_ready(name).await?;
        }
        self.until_available(&self.csps()).await?;
        self.until_serving().await
    }

    /// The CSPs that the test starts by itself.
    pub(super) fn later(&self) -> Vec<String> {
        let first = self.options.csps + 1;
        (first..first + self.options.csps_later).map(|number| format!("csp-{number}")).collect()
    }

    /// Starts a service and waits until it says that it is ready.
    pub async fn start_ready(&self, name: &str) -> anyhow::Result<()> {
        self.start_process(name)?;
        self.wait_ready(name).await
    }

    /// Starts a process and waits for nothing.
    pub fn start_process(&self, name: &str) -> anyhow::Result<()> {
        let mut processes = self.processes();
        let process = processes.get_mut(name).ok_or_else(|| anyhow::anyhow!("there is no {name}"))?;
        if process.id().is_none() || process.exit_status().is_some() {
            let _ = std::fs::remove_file(ready_file(&self.folder, name));
        }
        process.start()
    }

    async fn wait_ready(&self, name: &str) -> anyhow::Result<()> {
        process::ready(name, &ready_file(&self.folder, name), PATIENCE, || {
            let mut processes = self.processes();
            let process = processes.get_mut(name)?;
            process.exit_status().map(|status| format!("{status}\n{}", process.log_tail()))
        })
        .await
    }

    /// Waits until the group answers an update and a query.
    pub async fn until_serving(&self) -> anyhow::Result<()> {
        let deadline = Duration::from_secs(2);
        until("the group to serve", PATIENCE, async || {
            self.client.update(&Request::new("RETURN 1").deadline(deadline)).await.done()?;
            self.client.query(&Request::new("RETURN 1").deadline(deadline)).await.done()
        })
        .await?;
        Ok(())
    }
}

/// Connects as soon as a server listens and JetStream answers.
async fn connect(urls: &[String]) -> anyhow::Result<Client> {
    until("nats-server to serve JetStream", PATIENCE, async || {
        let client = Client::connect(urls, GROUP).await?;
        async_nats::jetstream::new(client.nats().clone()).query_account().await?;
        anyhow::Ok(client)
    })
    .await
}
