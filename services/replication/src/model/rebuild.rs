//! Rebuilds a certifier that is not there any more: after a restart, or on another copy from a snapshot.
//!
//! Its memory is a function of the log behind the horizon and of what was refused there. So both are gone through again:
//! the log from `horizon + 1` up to the stored position, with the records that were kept. Nothing is decided anew, for the
//! decisions depend on memory that was forgotten since. The result is exactly the certifier that was lost:
//! - the window holds what accepted transactions wrote, sender numbers are those of messages that registered;
//! - the chain is calculated again from the stored chain at the horizon and must end at the stored one;
//! - ids may be older than the horizon and are given back from where the copy keeps them.

use super::assemble::Assembled;
use super::broken::Broken;
use super::certifier::{Certifier, sender_clock};
use super::chain::Chain;
use super::limits::Limits;
use super::log_clock::LogClock;
use super::position::{LogMessage, Place, Position};
use super::record::Record;
use super::state::AppliedState;
use super::window::hash_key;
use crate::entry::{Batch, Entry, EntryError, Message};

/// A certifier under reconstruction.
#[derive(Debug, Clone)]
pub struct Rebuild {
    certifier: Certifier,
    position: Position,
    chain: Chain,
    clock: LogClock,
}

impl Rebuild {
    /// Begins with the stored state of a copy.
    pub fn new(state: AppliedState, storage_version: u16) -> Self {
        Self::with_limits(state, storage_version, Limits::RELEASED)
    }

    pub(crate) fn with_limits(state: AppliedState, storage_version: u16, limits: Limits) -> Self {
        Self {
            position: state.horizon,
            chain: state.horizon_chain,
            clock: state.horizon_clock,
            certifier: Certifier::with_limits(state, storage_version, limits),
        }
    }

    /// The position whose message [`replay`](Self::replay) needs next; none if all were given.
    pub fn next_position(&self) -> Option<Position> {
        (self.position < self.certifier.state.position).then_some(self.position + 1)
    }

    /// Gives back an id that the copy keeps: the place of its transaction, and log time there. Places must rise. False if
    /// it has expired, so that the copy need not keep it any more.
    pub fn remember_id(&mut self, place: Place, id: &str, log_time_ms: u64) -> bool {
        if place.position <= self.certifier.state.ids_horizon {
            return false;
        }
        self.certifier.ids.remember(place, id, log_time_ms);
        true
    }

    /// Goes through a message again, with the record that was kept of it.
    pub fn replay(&mut self, message: LogMessage, record: Option<&Record>) -> Result<(), Broken> {
        let position = message.position;
        let expected = self.position + 1;
        if position != expected {
            return Err(Broken::Sequence { expected, found: position });
        }
        if position > self.certifier.state.position {
            return Err(Broken::Replay { position, reason: "the message is behind the stored position" });
        }
        let decoded = Message::decode(message.payload.clone());
        let clock = self.clock.next(message.timestamp_us, sender_clock(&decoded));
        if record != Some(&Record::Void { registered: false }) {
            self.replay_message(decoded, position, record)?;
        }
        self.chain = self.chain.next(&message.payload);
        self.clock = clock;
        self.position = position;
        self.certifier.window.seal(self.chain, self.clock);
        Ok(())
    }

    /// The certifier as it was, if the log has led to the stored state.
    ///
    /// # Errors
    /// [`Broken::Kept`] only where the chain has shown that the log is the right one: then it is the copy that is wrong.
    pub fn finish(self) -> Result<Certifier, Broken> {
        let state = &self.certifier.state;
        let position = self.position;
        if position != state.position {
            return Err(Broken::Replay { position, reason: "messages are missing" });
        }
        if self.chain != state.chain {
            return Err(Broken::Replay { position, reason: "the chain differs" });
        }
        if self.clock != state.clock {
            return Err(Broken::Replay { position, reason: "log time differs" });
        }
        self.certifier.validate().map_err(|reason| Broken::Kept { position, reason })?;
        Ok(self.certifier)
    }

    fn replay_message(
        &mut self,
        decoded: Result<Message, EntryError>,
        position: Position,
        record: Option<&Record>,
    ) -> Result<(), Broken> {
        match decoded {
            Ok(Message::Entry(entry)) => self.replay_entry(&entry, position, record),
            Err(source) if source.is_newer() => Err(Broken::Unreadable { position, source }),
            _ => Ok(()),
        }
    }

    fn replay_entry(&mut self, entry: &Entry, position: Position, record: Option<&Record>) -> Result<(), Broken> {
        let certifier = &mut self.certifier;
        certifier.register(entry, position);
        if matches!(record, Some(Record::Void { .. })) {
            certifier.assembler.give_up(entry.csp());
            return Ok(());
        }
        match certifier.assembler.take(entry, position) {
            Assembled::Complete { body, first_position } => {
                let batch = Batch::decode(body, entry.base());
                let batch = batch.map_err(|source| Broken::Unreadable { position, source })?;
                certifier.window.complete(first_position);
                replay_writes(certifier, &batch, record);
                Ok(())
            }
            // Parts of an entry that began at or below the horizon: it can never be completed.
            Assembled::Collected | Assembled::Void(_) if !entry.is_last_part() => Ok(()),
            _ => Err(Broken::Replay { position, reason: "an entry that counted cannot be put together" }),
        }
    }
}

fn replay_writes(certifier: &mut Certifier, batch: &Batch, record: Option<&Record>) {
    let accepted =
        batch.iter().enumerate().filter(|(index, _)| !record.is_some_and(|record| record.is_refused(*index)));
    for write in accepted.flat_map(|(_, transaction)| transaction.writes()) {
        certifier.window.write(hash_key(write.key), write.key);
    }
}
