//! nats-server with JetStream, alone or as a cluster of three, on ports of its own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::process::Specification;
use super::{Routes, binaries, ports};

/// A port on which nobody listens.
const NOBODY: u16 = 1;

/// Where the servers of a system listen.
#[derive(Debug)]
pub struct Ports {
    /// For clients.
    pub client: Vec<u16>,
    /// For each other.
    pub route: Vec<u16>,
}

impl Ports {
    /// Free ports for so many servers.
    pub fn free(count: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(count == 1 || count == 3, "a system has 1 or 3 NATS servers, not {count}");
        let mut client = ports::free(2 * count)?;
        let route = client.split_off(count);
        Ok(Self { client, route })
    }
}

/// Writes the servers' configurations and tells how to start them. They find each other through `routes` if there are such.
pub fn servers(
    ports: &Ports,
    sync_interval: Option<&str>,
    folder: &Path,
    routes: Option<&Routes>,
) -> anyhow::Result<Vec<Specification>> {
    let program = binaries::nats_server()?;
    let mut specifications = Vec::new();
    for at in 0..ports.client.len() {
        let name = format!("nats-{}", at + 1);
        let file = folder.join(format!("{name}.conf"));
        std::fs::write(&file, configuration(&name, at, ports, sync_interval, folder, routes)?)?;
        specifications.push(Specification {
            program: program.clone(),
            arguments: vec!["-c".into(), file.display().to_string()],
            environment: BTreeMap::new(),
            folder: folder.to_path_buf(),
            log: folder.join("log").join(format!("{name}.log")),
            watches_stdin: false,
            name,
        });
    }
    Ok(specifications)
}

fn configuration(
    name: &str,
    at: usize,
    ports: &Ports,
    sync_interval: Option<&str>,
    folder: &Path,
    routes: Option<&Routes>,
) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(text, "server_name: {name}\nlisten: \"127.0.0.1:{}\"", ports.client[at])?;
    writeln!(text, "jetstream {{\n  store_dir: \"{}\"", folder.join(name).display())?;
    if let Some(interval) = sync_interval {
        writeln!(text, "  sync_interval: {interval}")?;
    }
    writeln!(text, "}}")?;
    if ports.route.len() > 1 {
        let others = (0..ports.route.len()).filter(|other| *other != at);
        let found = others.map(|other| routes.and_then(|routes| routes.port(at, other)).unwrap_or(ports.route[other]));
        let urls: Vec<String> = found.map(|port| format!("nats://127.0.0.1:{port}")).collect();
        writeln!(text, "cluster {{\n  name: tests\n  listen: \"127.0.0.1:{}\"", ports.route[at])?;
        if routes.is_some() {
            // Servers tell each other where others listen. Nobody listens there, so that no way leads around the proxies.
            writeln!(text, "  advertise: \"127.0.0.1:{NOBODY}\"")?;
        }
        writeln!(text, "  no_advertise: true\n  routes: [{}]\n}}", urls.join(", "))?;
    }
    Ok(text)
}
