//! Starts a NATS server again that takes nothing any more although it could.
//!
//! When the disk below a stream was full, nats-server goes on refusing everything for that stream after there is room again; only
//! a new start ends it. The copies say that the log refuses entries (`log_unavailable` in the group's status). When they have
//! said so for a while, and there is room on the disk, the server that leads the log is started again, and not again for a while.

use std::{path::Path, sync::Arc, time::Duration};

use holdfast_schemas::ErrorCode;
use nix::sys::statvfs::statvfs;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    directory::DataDirectory,
    keeper::{Condition, Keeper, Wish},
    plan::Stage,
    terminal::Terminal,
};
use crate::client::Client;

/// How often the group is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// For so long the log must have refused: a leader that is being elected, or a moment of pressure, is over by then.
const REFUSED_MIN: Duration = Duration::from_secs(5);
/// Between two starts: time enough to read a large store again.
const REST: Duration = Duration::from_secs(60);
/// With less room than this a new start would not help.
const ROOM_MIN_BYTES: u64 = 16 << 20;

/// What the group says of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Why the log takes nothing.
    reason: String,
    /// The server that leads the log, where there are several.
    leader: Option<String>,
    /// Since when.
    since: Instant,
}

/// Looks after the servers.
pub struct Reviver {
    complaints: watch::Receiver<Option<Complaint>>,
    directory: Arc<DataDirectory>,
    terminal: Terminal,
    started_at: Option<Instant>,
}

impl Reviver {
    /// Begins to ask the group.
    #[must_use]
    pub fn new(client: Arc<Client>, group: String, directory: Arc<DataDirectory>, terminal: Terminal) -> Self {
        let (told, complaints) = watch::channel(None);
        tokio::spawn(ask(client, group, told));
        Self { complaints, directory, terminal, started_at: None }
    }

    /// Stops the server that is to be started again, and starts the one that was stopped.
    pub fn look_after(&mut self, keepers: &[Keeper]) {
        let servers = || keepers.iter().filter(|keeper| keeper.stage == Stage::Nats);
        servers().filter(|keeper| keeper.condition() == Condition::Stopped).for_each(|keeper| keeper.want(Wish::Run));
        let complaint = self.complaints.borrow().clone();
        let Some(complaint) = complaint else { return };
        let server = servers().find(|keeper| complaint.leader.as_ref().is_none_or(|leader| *leader == keeper.name));
        let Some(server) = server.filter(|server| server.condition() == Condition::Ready) else { return };
        let room_bytes = room_bytes(&self.directory.nats_store(&server.name));
        if is_due(complaint.since.elapsed(), self.started_at.map(|at| at.elapsed()), room_bytes) {
            self.started_at = Some(Instant::now());
            self.terminal.say(&server.name, &format!("is started again: {}", complaint.reason));
            server.want(Wish::Stop);
        }
    }
}

/// Whether the server is to be started again.
fn is_due(refused_for: Duration, started_before: Option<Duration>, room_bytes: u64) -> bool {
    refused_for >= REFUSED_MIN && started_before.is_none_or(|before| before >= REST) && room_bytes >= ROOM_MIN_BYTES
}

/// Room on the disk of a folder. Where that cannot be told it is no reason against anything.
fn room_bytes(folder: &Path) -> u64 {
    statvfs(folder).map_or(u64::MAX, |disk| disk.blocks_available() * disk.fragment_size())
}

async fn ask(client: Arc<Client>, group: String, told: watch::Sender<Option<Complaint>>) {
    loop {
        let status = client.group_status(&group).await;
        // A system that does not answer says nothing about its log.
        let refusal = status.ok().and_then(|status| status.updates_refused);
        let refusal = refusal.filter(|refusal| refusal.code == ErrorCode::LogUnavailable);
        let since = told.borrow().as_ref().map_or_else(Instant::now, |before| before.since);
        let leader = match &refusal {
            Some(_) => client.log_leader(&group).await,
            None => None,
        };
        if told.send(refusal.map(|refusal| Complaint { reason: refusal.reason, leader, since })).is_err() {
            return;
        }
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_started_again_when_it_could_take_entries_and_does_not_and_seldom() {
        let (long, short) = (REFUSED_MIN, REFUSED_MIN - Duration::from_millis(1));
        assert!(is_due(long, None, ROOM_MIN_BYTES));
        assert!(!is_due(short, None, ROOM_MIN_BYTES), "it may pass");
        assert!(!is_due(long, None, ROOM_MIN_BYTES - 1), "the disk is full");
        assert!(!is_due(long, Some(REST - Duration::from_millis(1)), u64::MAX), "it was started a moment ago");
        assert!(is_due(long, Some(REST), u64::MAX));
    }
}
