//! Starts a NATS server again that stores nothing any more although it could (`model/revival`).
//!
//! When a write of a stream failed because the disk was full, nats-server acknowledges nothing for that stream after there is room
//! again; only a new start ends it. The copies notice, and the group's status says so. When it has said so for a while, and there is
//! room on the disk, the server that leads the log is started again.

use std::{path::Path, sync::Arc, time::Duration};

use async_nats::Subscriber;
use futures::StreamExt;
use holdfast_schemas::{message::UpdateRefusal, subject};
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
use crate::{
    client::Client,
    model::revival::{self, Revival, Word},
};

/// How often the group is asked while its log takes nothing; no event makes it more.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often besides: an event that says that the log takes nothing may be lost.
const SELDOM: Duration = Duration::from_secs(10);

/// What the group says of its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Heard {
    word: Word,
    /// Why the log takes nothing.
    reason: String,
    /// The server that leads the log, where there are several.
    leader: Option<String>,
}

/// Looks after the servers.
pub struct Reviver {
    heard: watch::Receiver<Heard>,
    directory: Arc<DataDirectory>,
    terminal: Terminal,
    revival: Revival,
    began_at: Instant,
}

impl Reviver {
    /// Begins to ask the group.
    #[must_use]
    pub fn new(client: Arc<Client>, group: String, directory: Arc<DataDirectory>, terminal: Terminal) -> Self {
        let (told, heard) = watch::channel(Heard::default());
        tokio::spawn(ask(client, group, told));
        Self { heard, directory, terminal, revival: Revival::default(), began_at: Instant::now() }
    }

    /// Stops the server that is to be started again, and starts the one that was stopped.
    pub fn look_after(&mut self, keepers: &[Keeper]) {
        let servers = || keepers.iter().filter(|keeper| keeper.stage == Stage::Nats);
        servers().filter(|keeper| keeper.condition() == Condition::Stopped).for_each(|keeper| keeper.want(Wish::Run));
        let (heard, now) = (self.heard.borrow().clone(), self.began_at.elapsed());
        self.revival.hear(heard.word, now);
        if heard.word != Word::Stalled {
            return;
        }
        let names: Vec<&str> = servers().map(|keeper| keeper.name.as_str()).collect();
        let Some(name) = revival::server(&names, heard.leader.as_deref()) else { return };
        let ready = servers().find(|keeper| keeper.name == name && keeper.condition() == Condition::Ready);
        let Some(server) = ready else { return };
        if self.revival.is_due(now, room_bytes(&self.directory.nats_store(name))) {
            self.revival.started(now);
            self.terminal.say(name, &format!("is started again: {}", heard.reason));
            server.want(Wish::Stop);
        }
    }
}

/// Room on the disk of a folder. Where that cannot be told it is no reason against anything.
fn room_bytes(folder: &Path) -> u64 {
    statvfs(folder).map_or(u64::MAX, |disk| disk.blocks_available() * disk.fragment_size())
}

/// Asks when a copy tells of the log, from then on until the log takes entries again, and seldom besides.
async fn ask(client: Arc<Client>, group: String, told: watch::Sender<Heard>) {
    // Without events it is asked seldom all the same.
    let mut events = client.bus().client().subscribe(subject::event(&group, subject::EVENT_LOG)).await.ok();
    loop {
        let heard = hear(&client, &group).await;
        let takes = heard.word == Word::Takes;
        if told.send(heard).is_err() {
            return;
        }
        sleep(INTERVAL).await;
        if takes {
            tokio::select! {
                () = sleep(SELDOM) => {}
                () = event(events.as_mut()) => {}
            }
        }
    }
}

/// Resolves when a copy has told of the log.
async fn event(events: Option<&mut Subscriber>) {
    if let Some(events) = events
        && events.next().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// What the group says now. A system that does not answer says nothing about its log.
async fn hear(client: &Client, group: &str) -> Heard {
    let Ok(status) = client.group_status(group).await else { return Heard::default() };
    match status.updates_refused {
        None => Heard { word: Word::Takes, ..Heard::default() },
        Some(UpdateRefusal { stalled: false, reason, .. }) => Heard { word: Word::Refuses, reason, leader: None },
        Some(UpdateRefusal { stalled: true, reason, .. }) => {
            Heard { word: Word::Stalled, reason, leader: client.log_leader(group).await }
        }
    }
}
