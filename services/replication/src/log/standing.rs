//! How this copy stands to its log: whether it may send, and if not, why.
//!
//! ```text
//!   unsure --compared--> sound        and beside that:   takes --JetStream refuses--> refuses --an entry is taken--> takes
//!     ^  |                 |
//!     |  +--does not fit--> parted    (until the log fits again)
//!     +--- the connection, the subscription or a doubt ends the certainty
//! ```
//!
//! Invariant: nothing is sent unless the log was compared with what this copy has applied (`model::KnownLog`) since the
//! connection was last made. A message that was handed to the connection before it was lost may still get into a log that
//! went back meanwhile; it bears a chain value that this log does not have, so it is void there.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use async_nats::Client;
use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::UpdateRefusal;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::model::{KnownLog, Shortage};

/// Whether the log goes on where the copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fit {
    /// Not compared yet, or not since the connection was made. With a reason when it could not be compared for a while.
    Unsure(Option<UpdateRefusal>),
    /// Compared when the connection had been made so often.
    Sound { connects: u64 },
    /// It does not.
    Parted(UpdateRefusal),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    fit: Fit,
    /// Why the log takes nothing, although it fits.
    refused: Option<UpdateRefusal>,
}

/// The standing, shared by whoever finds out and whoever has to know.
#[derive(Debug)]
pub struct LogStanding {
    client: Client,
    own: watch::Sender<Standing>,
    known: Mutex<KnownLog>,
    /// What other copies say that the log has lost, by their names. Each takes back only its own word.
    others: Mutex<BTreeMap<String, UpdateRefusal>>,
    /// What the log does not keep. It is no reason to refuse anything.
    shortage: Mutex<Option<Shortage>>,
    doubts: Notify,
}

/// Whether something may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Open,
    /// Not yet: the log is about to be compared.
    Wait,
    /// No, and why.
    Refused(UpdateRefusal),
}

impl LogStanding {
    /// Of a copy that has not looked at its log.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let own = watch::Sender::new(Standing { fit: Fit::Unsure(None), refused: None });
        let (known, others, shortage) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { client, own, known, others, shortage, doubts: Notify::new() }
    }

    /// What the copy knows of its log by now.
    #[must_use]
    pub fn known(&self) -> KnownLog {
        *self.known.lock()
    }

    /// The copy knows this of its log from now on.
    pub fn know(&self, known: KnownLog) {
        *self.known.lock() = known;
    }

    /// The log was looked at, and does not keep this; none if it keeps all. True if people have not been told the like.
    pub fn lacks(&self, shortage: Option<Shortage>) -> bool {
        let before = std::mem::replace(&mut *self.shortage.lock(), shortage);
        before.map(|before| before.kind()) != shortage.map(|now| now.kind())
    }

    /// What the log does not keep of what copies will ask it for.
    #[must_use]
    pub fn shortage(&self) -> Option<Shortage> {
        *self.shortage.lock()
    }

    /// How often the connection was made; to be read before the log is compared.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// The log was compared, and goes on where this copy is; `connects` is from before. True if it did not before.
    pub fn compared(&self, connects: u64) -> bool {
        let mut was_parted = false;
        self.change(|own| {
            was_parted = matches!(own.fit, Fit::Parted(_));
            own.fit = Fit::Sound { connects };
        });
        was_parted
    }

    /// The log does not go on where this copy is. True if that is news.
    pub fn part(&self, code: ErrorCode, reason: String) -> bool {
        self.change(|own| {
            *own = Standing { fit: Fit::Parted(UpdateRefusal { code, reason, stalled: false }), refused: None }
        })
    }

    /// The log could not be compared for a while.
    pub fn unreachable(&self, reason: String) {
        self.change(|own| {
            if matches!(own.fit, Fit::Unsure(_)) {
                let refusal = UpdateRefusal { code: ErrorCode::LogUnavailable, reason, stalled: false };
                own.fit = Fit::Unsure(Some(refusal));
            }
        });
    }

    /// The log fits, and takes nothing; `stalled` as in [`UpdateRefusal`]. True if that is news.
    pub fn refuse(&self, reason: String, stalled: bool) -> bool {
        self.change(|own| {
            if !matches!(own.fit, Fit::Parted(_)) {
                own.refused = Some(UpdateRefusal { code: ErrorCode::LogUnavailable, reason, stalled });
            }
        })
    }

    /// The log took something. True if it did not before.
    pub fn took(&self) -> bool {
        self.change(|own| own.refused = None)
    }

    fn change(&self, change: impl FnOnce(&mut Standing)) -> bool {
        self.own.send_if_modified(|own| {
            let before = own.clone();
            change(own);
            *own != before
        })
    }

    /// Another copy says that the log lost what it has applied, or that it does not any more.
    pub fn heard(&self, csp: &str, refusal: Option<&UpdateRefusal>) {
        let mut others = self.others.lock();
        match refusal.filter(|refusal| refusal.code == ErrorCode::LogLost) {
            Some(refusal) => drop(others.insert(csp.to_owned(), refusal.clone())),
            None => drop(others.remove(csp)),
        }
    }

    /// Something says that the log may not be what it was: it is compared anew.
    pub fn doubt(&self) {
        self.be_unsure();
        self.doubts.notify_one();
    }

    /// The same, said by the one who compares: it is about to.
    pub fn be_unsure(&self) {
        self.change(|own| {
            if matches!(own.fit, Fit::Sound { .. }) {
                own.fit = Fit::Unsure(None);
            }
        });
    }

    /// Resolves when there is a doubt.
    pub async fn doubted(&self) {
        self.doubts.notified().await;
    }

    /// Whether the connection was made anew since the log was compared.
    #[must_use]
    pub fn is_reconnected(&self) -> bool {
        matches!(self.own.borrow().fit, Fit::Sound { connects } if connects != self.connects())
    }

    /// Whether something may be sent now.
    #[must_use]
    pub fn passage(&self) -> Passage {
        match self.refusal() {
            Some(refusal) => Passage::Refused(refusal),
            None if self.is_sound() => Passage::Open,
            None => Passage::Wait,
        }
    }

    /// Waits until something may be sent.
    ///
    /// # Errors
    /// Why nothing will be.
    pub async fn clear(&self) -> Result<(), UpdateRefusal> {
        let mut changes = self.own.subscribe();
        loop {
            changes.borrow_and_update();
            match self.passage() {
                Passage::Open => return Ok(()),
                Passage::Refused(refusal) => return Err(refusal),
                Passage::Wait => {
                    if self.is_reconnected() {
                        self.doubt();
                    }
                    // Ours is the sender, so this ends with a change only.
                    let _ = changes.changed().await;
                }
            }
        }
    }

    /// Why this copy takes no updates, by what it found itself.
    #[must_use]
    pub fn own_refusal(&self) -> Option<UpdateRefusal> {
        let own = self.own.borrow();
        match &own.fit {
            Fit::Parted(refusal) | Fit::Unsure(Some(refusal)) => Some(refusal.clone()),
            Fit::Unsure(None) | Fit::Sound { .. } => own.refused.clone(),
        }
    }

    /// Why this copy takes no updates; none if it does, as far as its log is concerned. Another copy may have applied what the
    /// log has lost, and this one not: what it built would be built on a hole.
    #[must_use]
    pub fn refusal(&self) -> Option<UpdateRefusal> {
        if let Some(refusal) = self.own_refusal() {
            return Some(refusal);
        }
        let others = self.others.lock();
        let (csp, refusal) = others.first_key_value()?;
        let reason = format!("{csp} says: {}", refusal.reason);
        Some(UpdateRefusal { code: refusal.code, reason, stalled: refusal.stalled })
    }

    /// Why the log does not go on where this copy is; none if it does.
    #[must_use]
    pub fn parted(&self) -> Option<UpdateRefusal> {
        match &self.own.borrow().fit {
            Fit::Parted(refusal) => Some(refusal.clone()),
            Fit::Unsure(_) | Fit::Sound { .. } => None,
        }
    }

    /// Whether the log was compared since the connection was made, and fits.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        matches!(self.own.borrow().fit, Fit::Sound { connects } if connects == self.connects())
    }

    /// Whether the log fits, and takes nothing: then it is worth trying.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.is_sound() && self.own.borrow().refused.is_some()
    }

    /// Resolves with the next change of this copy's own standing.
    pub fn changes(&self) -> impl Future<Output = ()> + use<> {
        let mut changes = self.own.subscribe();
        async move {
            let _ = changes.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: ErrorCode, reason: &str) -> UpdateRefusal {
        UpdateRefusal { code, reason: reason.to_owned(), stalled: false }
    }

    /// Two copies had applied what the log has lost. That one of them was put right says nothing of the other.
    #[tokio::test]
    async fn each_copy_takes_back_its_own_word_only() {
        let connect = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let client = connect.connect("nats://127.0.0.1:1").await.expect("a client without a server");
        let standing = LogStanding::new(client);
        let reason = || standing.refusal().map(|refusal| refusal.reason);
        for (csp, ends_at) in [("csp-1", 7), ("csp-2", 9)] {
            standing.heard(csp, Some(&refusal(ErrorCode::LogLost, &format!("the log lost {ends_at}"))));
        }
        assert_eq!(reason().as_deref(), Some("csp-1 says: the log lost 7"));
        standing.heard("csp-3", None);
        standing.heard("csp-1", None);
        assert_eq!(reason().as_deref(), Some("csp-2 says: the log lost 9"));
        standing.heard("csp-2", Some(&refusal(ErrorCode::LogUnavailable, "its disk is full")));
        assert_eq!(reason(), None);
    }
}
