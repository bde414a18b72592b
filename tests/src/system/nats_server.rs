//! nats-server with JetStream, alone or as a cluster of three, on ports of its own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::process::Specification;
use super::{binaries, ports};

/// The servers of a system, before they run.
pub struct Servers {
    /// One process each.
    pub specifications: Vec<Specification>,
    /// Where clients connect.
    pub client_ports: Vec<u16>,
}

/// Writes the servers' configurations and tells how to start them.
pub fn servers(count: usize, sync_interval: Option<&str>, folder: &Path) -> anyhow::Result<Servers> {
    anyhow::ensure!(count == 1 || count == 3, "a system has 1 or 3 NATS servers, not {count}");
    let program = binaries::nats_server()?;
    let ports = ports::free(2 * count)?;
    let (client_ports, route_ports) = ports.split_at(count);
    let mut specifications = Vec::new();
    for at in 0..count {
        let name = format!("nats-{}", at + 1);
        let file = folder.join(format!("{name}.conf"));
        std::fs::write(&file, configuration(&name, at, client_ports, route_ports, sync_interval, folder)?)?;
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
    Ok(Servers { specifications, client_ports: client_ports.to_vec() })
}

fn configuration(
    name: &str,
    at: usize,
    client_ports: &[u16],
    route_ports: &[u16],
    sync_interval: Option<&str>,
    folder: &Path,
) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(text, "server_name: {name}\nlisten: \"127.0.0.1:{}\"", client_ports[at])?;
    writeln!(text, "jetstream {{\n  store_dir: \"{}\"", folder.join(name).display())?;
    if let Some(interval) = sync_interval {
        writeln!(text, "  sync_interval: {interval}")?;
    }
    writeln!(text, "}}")?;
    if route_ports.len() > 1 {
        let routes: Vec<String> = route_ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        writeln!(text, "cluster {{\n  name: tests\n  listen: \"127.0.0.1:{}\"", route_ports[at])?;
        writeln!(text, "  no_advertise: true\n  routes: [{}]\n}}", routes.join(", "))?;
    }
    Ok(text)
}
