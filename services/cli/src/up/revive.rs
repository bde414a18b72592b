//! Starts a NATS server again that stores nothing any more although it could (`model/revival`).
//!
//! When a write of a stream failed because the disk was full, nats-server acknowledges nothing for that stream after there is room
//! again, and one that was started on a full disk refuses everything; only a new start ends it. The copies notice, and the group's status says so. When it has said so for a while, and there is
//! room on the disk, the server that leads the log is started again.
//!
//! One of several servers switches its JetStream off for good when its disk is full, and says so to whoever connects. It is started
//! again, too, once there is room: without it, and another one, there is no leader.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use async_nats::{ConnectOptions, Subscriber};
use futures::{StreamExt, future::join_all};
use holdfast_schemas::{message::UpdateRefusal, subject};
use nix::sys::statvfs::statvfs;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    directory::DataDirectory,
    keeper::{Condition, Keeper, Wish},
    nats_server::Server,
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

/// How long a server may take to say whether it stores anything.
const INFO_MAX: Duration = Duration::from_secs(2);

/// What the group says of its log, and the servers of themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Heard {
    /// Of each server, by its name: whether its JetStream is on.
    servers: BTreeMap<String, Word>,
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
    /// The same for each server, of which only itself can tell.
    of_servers: BTreeMap<String, Revival>,
    began_at: Instant,
}

impl Reviver {
    /// Begins to ask the group, and the servers, if there are any to look after.
    #[must_use]
    pub fn new(
        client: Arc<Client>,
        group: String,
        servers: Vec<Server>,
        directory: Arc<DataDirectory>,
        terminal: Terminal,
    ) -> Self {
        let (told, heard) = watch::channel(Heard::default());
        if !servers.is_empty() {
            tokio::spawn(ask(client, group, servers, told));
        }
        let (revival, of_servers, began_at) = (Revival::default(), BTreeMap::new(), Instant::now());
        Self { heard, directory, terminal, revival, of_servers, began_at }
    }

    /// Stops the server that is to be started again, and starts the one that was stopped.
    pub fn look_after(&mut self, keepers: &[Keeper]) {
        let servers = || keepers.iter().filter(|keeper| keeper.stage == Stage::Nats);
        servers().filter(|keeper| keeper.condition() == Condition::Stopped).for_each(|keeper| keeper.want(Wish::Run));
        let (heard, now) = (self.heard.borrow().clone(), self.began_at.elapsed());
        self.revival.hear(heard.word, now);
        for (name, word) in &heard.servers {
            self.of_servers.entry(name.clone()).or_default().hear(*word, now);
        }
        // One at a time: messages that need no JetStream go over the others meanwhile.
        if servers().all(|keeper| keeper.condition() == Condition::Ready)
            && let Some((server, reason)) = servers().find_map(|keeper| Some((keeper, self.due(keeper, &heard, now)?)))
        {
            // Whatever it was for, a start is one for both reasons. That of another server does not help the log.
            if self.is_the_logs(server, &heard) {
                self.revival.started(now);
            }
            self.of_servers.entry(server.name.clone()).or_default().started(now);
            self.terminal.say(&server.name, &format!("is started again: {reason}"));
            server.want(Wish::Stop);
        }
    }

    /// Why a server is to be started again now, if it is.
    fn due(&self, server: &Keeper, heard: &Heard, now: Duration) -> Option<String> {
        let room_bytes = room_bytes(&self.directory.nats_store(&server.name));
        if self.of_servers.get(&server.name).is_some_and(|revival| revival.is_due(now, room_bytes)) {
            return Some("it has switched its JetStream off, as on a full disk".to_owned());
        }
        (self.is_the_logs(server, heard) && self.revival.is_due(now, room_bytes)).then(|| heard.reason.clone())
    }

    /// Whether a server is the one to start again when the group's log takes nothing.
    fn is_the_logs(&self, server: &Keeper, heard: &Heard) -> bool {
        let names: Vec<&str> = self.of_servers.keys().map(String::as_str).collect();
        revival::server(&names, heard.leader.as_deref()) == Some(server.name.as_str())
    }
}

/// Room on the disk of a folder. Where that cannot be told it is no reason against anything.
fn room_bytes(folder: &Path) -> u64 {
    statvfs(folder).map_or(u64::MAX, |disk| disk.blocks_available() * disk.fragment_size())
}

/// Asks when a copy tells of the log, from then on until the log takes entries again, and seldom besides.
async fn ask(client: Arc<Client>, group: String, servers: Vec<Server>, told: watch::Sender<Heard>) {
    // Without events it is asked seldom all the same.
    let mut events = client.bus().client().subscribe(subject::event(&group, subject::EVENT_LOG)).await.ok();
    loop {
        let (of_group, of_servers) = tokio::join!(hear(&client, &group), join_all(servers.iter().map(says)));
        let heard = Heard { servers: of_servers.into_iter().collect(), ..of_group };
        let takes = heard.word == Word::Takes && heard.servers.values().all(|word| *word == Word::Takes);
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
        Some(UpdateRefusal { stalled: false, reason, .. }) => Heard { word: Word::Refuses, reason, ..Heard::default() },
        Some(UpdateRefusal { stalled: true, reason, .. }) => {
            Heard { word: Word::Stalled, reason, leader: client.log_leader(group).await, ..Heard::default() }
        }
    }
}

/// What a server says of itself to whoever connects. Each one was started with JetStream.
async fn says(server: &Server) -> (String, Word) {
    let url = format!("nats://127.0.0.1:{}", server.port);
    let connecting = ConnectOptions::new().connection_timeout(INFO_MAX).connect(url);
    let word = match timeout(INFO_MAX, connecting).await {
        Ok(Ok(connection)) if connection.server_info().jetstream => Word::Takes,
        Ok(Ok(_)) => Word::Stalled,
        Ok(Err(_)) | Err(_) => Word::Unknown,
    };
    (server.name.clone(), word)
}
