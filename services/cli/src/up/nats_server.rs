//! NATS for a system on one machine: finds nats-server, checks its version, writes its configuration.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    directory::{DataDirectory, write_whole},
    guard,
    leftover::MARK,
    plan::{ChildPlan, Readiness, Stage},
};
use crate::{
    arguments::up::{Sync, UpOptions},
    error::CliError,
};

/// The oldest version with what the log needs.
const OLDEST: (u32, u32) = (2, 14);

/// More are never started.
const SERVERS_MAX: u16 = 9;

/// One server of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// nats-1, nats-2, nats-3.
    pub name: String,
    /// For clients.
    pub port: u16,
    /// For the other servers.
    pub route_port: u16,
}

/// The servers, with free ports.
///
/// # Errors
/// A port is taken, or the folder has the stores of another number of servers.
pub fn servers(options: &UpOptions, directory: &DataDirectory) -> Result<Vec<Server>, CliError> {
    let count = options.nats_server_count();
    refuse_another_number(count, directory)?;
    // Listeners stay open until all ports are chosen, so that no port is chosen twice.
    let mut listeners = Vec::new();
    let mut servers = Vec::new();
    for index in 0..count {
        let wanted = if options.nats_port == 0 { 0 } else { options.nats_port.saturating_add(index) };
        let (port, client) = free_port(wanted)?;
        let (route_port, route) = free_port(0)?;
        listeners.extend([client, route]);
        servers.push(Server { name: format!("nats-{}", index + 1), port, route_port });
    }
    Ok(servers)
}

/// With another number of servers NATS would begin new stores over those that are there, and the copies would lose their log.
fn refuse_another_number(count: u16, directory: &DataDirectory) -> Result<(), CliError> {
    let there = (1..=SERVERS_MAX).filter(|number| directory.nats_store(&format!("nats-{number}")).is_dir()).count();
    if there == 0 || there == usize::from(count) {
        return Ok(());
    }
    Err(CliError::Machine(format!(
        "{} keeps its log on {there} NATS server(s), and {count} are asked for: give --nats-servers {there}, or choose another \
         --data. Nothing was started or changed",
        directory.root().display()
    )))
}

fn free_port(wanted: u16) -> Result<(u16, TcpListener), CliError> {
    let taken = |error: std::io::Error| {
        CliError::Machine(format!(
            "port {wanted} of 127.0.0.1 cannot be used ({error}): choose another with --nats-port (0 takes a free one), \
             or use the server that runs there with --nats nats://127.0.0.1:{wanted}"
        ))
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).map_err(taken)?;
    let port = listener.local_addr().map_err(taken)?.port();
    Ok((port, listener))
}

/// The address that clients use.
#[must_use]
pub fn url(servers: &[Server]) -> String {
    servers.iter().map(|server| format!("nats://127.0.0.1:{}", server.port)).collect::<Vec<_>>().join(",")
}

/// The children that run the servers; writes their configurations.
///
/// # Errors
/// A configuration cannot be written.
pub fn plan(
    binary: &Path,
    servers: &[Server],
    sync: Sync,
    directory: &DataDirectory,
) -> Result<Vec<ChildPlan>, CliError> {
    let holdfast = env::current_exe().map_err(CliError::file("find", "this program"))?;
    servers
        .iter()
        .map(|server| {
            let path = directory.nats_configuration(&server.name);
            write_whole(&path, &configuration(server, servers, sync, &directory.nats_store(&server.name)))
                .map_err(CliError::file("write", &path))?;
            Ok(ChildPlan {
                name: server.name.clone(),
                stage: Stage::Nats,
                program: holdfast.clone(),
                arguments: guard::arguments(binary, vec!["--config".into(), path.into_os_string()]),
                environment: vec![(MARK.to_owned(), directory.root().into())],
                readiness: Readiness::Port(server.port),
            })
        })
        .collect()
}

fn configuration(server: &Server, servers: &[Server], sync: Sync, store: &Path) -> String {
    let sync = match sync {
        Sync::Always => "always",
        Sync::Interval => "\"2m\"",
    };
    let mut text = format!(
        "# Written by `holdfast up` at every start: changes here are lost.\n\
         server_name: {}\n\
         listen: \"127.0.0.1:{}\"\n\
         jetstream {{\n  store_dir: {}\n  sync_interval: {sync}\n}}\n",
        server.name,
        server.port,
        serde_json::Value::from(store.to_string_lossy()),
    );
    if servers.len() > 1 {
        let others = servers.iter().filter(|other| other.name != server.name);
        let routes: Vec<String> = others.map(|other| format!("\"nats://127.0.0.1:{}\"", other.route_port)).collect();
        text.push_str(&format!(
            "cluster {{\n  name: holdfast\n  listen: \"127.0.0.1:{}\"\n  routes: [{}]\n}}\n",
            server.route_port,
            routes.join(", ")
        ));
    }
    text
}

/// The nats-server program: the one named, or from PATH, or where `make tools` puts it.
///
/// # Errors
/// There is none, or it is too old.
pub fn find(named: Option<&Path>) -> Result<PathBuf, CliError> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => candidates().find(|path| path.is_file()).ok_or_else(|| {
            CliError::Machine(
                "nats-server is not installed: run `make tools`, or name it with --nats-server, or a server that runs with --nats"
                    .to_owned(),
            )
        })?,
    };
    let version = version(&path)?;
    if version < OLDEST {
        return Err(CliError::Machine(format!(
            "{} is version {}.{} and {}.{} is needed: run `make tools` and name it with --nats-server .tools/bin/nats-server",
            path.display(),
            version.0,
            version.1,
            OLDEST.0,
            OLDEST.1
        )));
    }
    fs::canonicalize(&path).map_err(CliError::file("find", path))
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let folders: Vec<PathBuf> = env::var_os("PATH").map(|all| env::split_paths(&all).collect()).unwrap_or_default();
    let program = env::current_exe().unwrap_or_default();
    let checkouts: Vec<PathBuf> = program.ancestors().map(|folder| folder.join(".tools/bin")).collect();
    folders.into_iter().chain([PathBuf::from(".tools/bin")]).chain(checkouts).map(|folder| folder.join("nats-server"))
}

fn version(path: &Path) -> Result<(u32, u32), CliError> {
    let output = Command::new(path).arg("--version").output().map_err(CliError::file("start", path))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_version(&text).ok_or_else(|| {
        CliError::Machine(format!(
            "{} does not say its version: name a nats-server with --nats-server, or run `make tools`",
            path.display()
        ))
    })
}

/// `nats-server: v2.15.1` to `(2, 15)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_once(": v")?.1.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Server, configuration, free_port, parse_version, url};
    use crate::arguments::up::Sync;

    fn server(number: u16) -> Server {
        Server { name: format!("nats-{number}"), port: 4221 + number, route_port: 6221 + number }
    }

    #[test]
    fn versions_are_understood() {
        assert_eq!(parse_version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(parse_version("nats-server: v2.9.0-beta"), Some((2, 9)));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn one_server_has_no_cluster_and_syncs_as_told() {
        let text = configuration(&server(1), &[server(1)], Sync::Always, Path::new("/d \"x\"/nats-1"));
        assert!(text.contains("sync_interval: always") && !text.contains("cluster"), "{text}");
        assert!(text.contains(r#"store_dir: "/d \"x\"/nats-1""#), "{text}");
        assert!(configuration(&server(1), &[server(1)], Sync::Interval, Path::new("/d")).contains("\"2m\""));
    }

    #[test]
    fn three_servers_know_each_other() {
        let all = [server(1), server(2), server(3)];
        let text = configuration(&server(2), &all, Sync::Always, Path::new("/d"));
        assert!(
            text.contains("6222") && text.contains("6224") && text.contains("listen: \"127.0.0.1:6223\""),
            "{text}"
        );
        assert_eq!(url(&all), "nats://127.0.0.1:4222,nats://127.0.0.1:4223,nats://127.0.0.1:4224");
    }

    #[test]
    fn a_taken_port_is_named_with_two_ways_out() {
        let (port, _listener) = free_port(0).unwrap();
        let sentence = free_port(port).unwrap_err().to_string();
        assert!(sentence.contains("--nats-port") && sentence.contains("--nats nats://"), "{sentence}");
    }
}
