//! What the processes of a system have used, read from /proc.

use std::collections::BTreeMap;
use std::time::Duration;

use super::System;

/// Kernel ticks per second in /proc, 100 on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time per process.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// By name of the process.
    pub by_process: BTreeMap<String, Duration>,
}

impl Usage {
    /// What was used since an earlier look.
    pub fn since(&self, earlier: &Self) -> Self {
        let by_process = self.by_process.iter().map(|(name, used)| {
            (name.clone(), used.saturating_sub(earlier.by_process.get(name).copied().unwrap_or_default()))
        });
        Self { by_process: by_process.collect() }
    }

    /// All processes together.
    pub fn total(&self) -> Duration {
        self.by_process.values().sum()
    }
}

impl System {
    /// CPU time of every process of the system, without the test itself.
    pub fn usage(&self) -> Usage {
        let processes = self.processes();
        let used = processes.iter().filter_map(|(name, process)| Some((name.clone(), cpu_time(process.id()?)?)));
        Usage { by_process: used.collect() }
    }
}

/// CPU time of a process, in user and kernel mode.
pub fn cpu_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may hold anything; fields are counted from behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + kernel) * 1_000 / TICKS_PER_SECOND))
}
