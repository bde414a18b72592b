//! The open live streams of this copy, by the id of their subscription.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use parking_lot::Mutex;
use surrealdb_types::{Action, Notification, Uuid};
use tokio::sync::mpsc;

use crate::convert;

/// What happened to a record that a live query selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveAction {
    /// It was created.
    Create,
    /// It was updated.
    Update,
    /// It was deleted.
    Delete,
    /// The query itself cannot be evaluated; the result says why.
    Error,
    /// The live query has ended, by KILL or because its table was removed. Nothing follows.
    Killed,
}

/// One notification of a live query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveEvent {
    /// What happened.
    pub action: LiveAction,
    /// The record's id, as JSON.
    pub record: Bytes,
    /// What the live query selects of it, as JSON.
    pub result: Bytes,
}

/// Notifications that may wait for the reader of one stream. A reader that falls further behind loses its stream, and
/// knows it: a gap in the middle would be silent.
const EVENTS_WAITING: usize = 4096;
/// Strangers remembered, so that each is reported once.
const STRANGERS_MAX: usize = 4096;

#[derive(Default)]
struct Streams {
    open: HashMap<Uuid, mpsc::Sender<LiveEvent>>,
    strangers: HashSet<Uuid>,
}

/// Knows the open streams.
pub(crate) struct Hub {
    streams: Mutex<Streams>,
    orphans: mpsc::UnboundedSender<Uuid>,
}

impl Hub {
    /// A hub, and where it reports subscriptions of this copy that nobody reads any more: those of an earlier process.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Uuid>) {
        let (orphans, reported) = mpsc::unbounded_channel();
        (Self { streams: Mutex::default(), orphans }, reported)
    }

    pub(crate) fn open(&self, id: Uuid) -> mpsc::Receiver<LiveEvent> {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING);
        self.streams.lock().open.insert(id, sender);
        receiver
    }

    /// Forgets a stream. What still arrives for it is no stranger: its subscription is being ended already.
    pub(crate) fn close(&self, id: Uuid) {
        let mut streams = self.streams.lock();
        streams.open.remove(&id);
        streams.note_stranger(id);
    }

    pub(crate) fn publish(&self, notification: Notification) {
        let id = notification.id;
        let ended = notification.action == Action::Killed;
        let mut streams = self.streams.lock();
        let Some(stream) = streams.open.get(&id) else {
            if !ended && streams.note_stranger(id) {
                let _ = self.orphans.send(id);
            }
            return;
        };
        if stream.try_send(event(notification)).is_err() || ended {
            streams.open.remove(&id);
        }
    }
}

impl Streams {
    fn note_stranger(&mut self, id: Uuid) -> bool {
        if self.strangers.len() >= STRANGERS_MAX {
            self.strangers.clear();
        }
        self.strangers.insert(id)
    }
}

fn event(notification: Notification) -> LiveEvent {
    let action = match notification.action {
        Action::Create => LiveAction::Create,
        Action::Update => LiveAction::Update,
        Action::Delete => LiveAction::Delete,
        Action::Killed => LiveAction::Killed,
        Action::Error => LiveAction::Error,
    };
    LiveEvent { action, record: convert::json(notification.record), result: convert::json(notification.result) }
}
