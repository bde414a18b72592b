//! The nats-server of the bench: its own process, on a free port, gone with the bench.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::BoxError;

/// A running nats-server.
pub struct Server {
    child: Child,
    /// Its address.
    pub url: String,
}

/// Linux counts CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

impl Server {
    /// Starts the program named by `HOLDFAST_NATS_SERVER`, else `program`, else the one on the PATH, with its data below
    /// `folder`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(folder: &Path, program: Option<&Path>) -> Result<Self, BoxError> {
        let program = std::env::var_os("HOLDFAST_NATS_SERVER")
            .or_else(|| program.map(|program| program.as_os_str().to_owned()))
            .unwrap_or_else(|| "nats-server".into());
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(&program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(folder.join("nats"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|cause| format!("{} cannot be started: {cause}", program.to_string_lossy()))?;
        Ok(Self { child, url: format!("nats://127.0.0.1:{port}") })
    }

    /// CPU time of this process and the server together.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn cpu_with_this_process(&self) -> Result<Duration, BoxError> {
        Ok(cpu_time(std::process::id())? + cpu_time(self.child.id())?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cpu_time(pid: u32) -> Result<Duration, BoxError> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Behind the name, which may hold anything: user time is the 12th field, system time the 13th.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or_default();
    Ok(TICK * (ticks(11) + ticks(12)))
}
