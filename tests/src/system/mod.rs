//! A whole system for one test: a real nats-server and the real services, each a process of its own.

mod binaries;
mod definition;
mod disk;
mod faults;
mod nats_server;
mod network;
mod observe;
mod options;
mod ports;
mod process;
mod services;
mod start;
mod status;
mod tasks;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use binaries::{nats_server as nats_server_binary, service as service_binary};
pub use disk::{Disk, impossible as disks_impossible};
pub use network::{Cut, Network, Routes};
pub use options::Options;
pub use ports::{free as free_ports, free_in_a_row as free_ports_in_a_row};
pub use status::{CspStatus, Status};
pub use usage::{Usage, cpu_time};

use crate::client::Client;
use process::Process;

/// The group that every test system has.
pub const GROUP: &str = "test";

/// How long anything that must happen may take on a busy machine of two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running system. Dropping it kills every process; its data is kept only where the test failed.
#[derive(Debug)]
pub struct System {
    options: Options,
    folder: PathBuf,
    processes: Mutex<BTreeMap<String, Process>>,
    networks: BTreeMap<String, Network>,
    routes: Option<Routes>,
    disks: BTreeMap<String, Disk>,
    client: Client,
    urls: Vec<String>,
    keep: Mutex<bool>,
}

impl System {
    /// Starts a system, lets a scenario run on it, and keeps the data folder if the scenario fails.
    pub async fn run(
        options: Options,
        scenario: impl AsyncFnOnce(Arc<Self>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let system = Arc::new(Self::start(options).await?);
        let outcome = scenario(Arc::clone(&system)).await;
        if outcome.is_err() {
            eprintln!("last status: {}", system.status().await);
            system.keep_data();
        }
        outcome
    }

    /// What it was started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// A client of the group. Clones share one connection.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client with a connection of its own.
    pub async fn new_client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.urls, GROUP).await
    }

    /// Where NATS clients connect.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Where everything of this system lies.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// The names of the CSPs that run from the start.
    pub fn csps(&self) -> Vec<String> {
        (1..=self.options.csps).map(|number| format!("csp-{number}")).collect()
    }

    /// The names of all processes.
    pub fn names(&self) -> Vec<String> {
        self.processes().keys().cloned().collect()
    }

    /// The network between a service and NATS, in a proxied system.
    pub fn network(&self, name: &str) -> anyhow::Result<&Network> {
        self.networks.get(name).ok_or_else(|| anyhow::anyhow!("{name} has no network of its own"))
    }

    /// Keeps the data folder when the system ends.
    pub fn keep_data(&self) {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.processes().values_mut().for_each(Process::kill);
        let disks = std::mem::take(&mut self.disks);
        if *self.keep.lock().unwrap_or_else(PoisonError::into_inner) || std::thread::panicking() {
            for (csp, disk) in &disks {
                let _ = disk.save(&self.folder.join(format!("{csp}-disk")));
            }
            eprintln!("the data and the logs of this test are kept in {}", self.folder.display());
        } else {
            drop(disks);
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
