//! Decides what each message of the log means: a deterministic function of the log, and of nothing else.
//!
//! For each message, in this order:
//! 1. Its position is the next one, and it is of no newer format. Otherwise: [`Broken`], nothing is changed, the copy must stop.
//! 2. Void, and its sender's number is not registered: junk, which is no message of Holdfast, or one that was damaged before
//!    it came into the log; a base below the horizon; a number that was passed (`origin`); a chain value at its base that is not
//!    that of this log, for its sender has read another one. (That it is not this copy that has, is seen to elsewhere:
//!    `known_log`. So one sender that is wrong, or lies, stops nobody.)
//! 3. The number is registered. Void: not from the primary of the current epoch, in a primary group (`admit`); parts missing
//!    (`assemble`); malformed inside.
//! 4. Each transaction is judged, in order (`judge`).
//! 5. The horizon moves as the limits demand (`window`).
//!
//! ```text
//! horizon <= snapshot <= base <= applied < position
//! ```

use super::applied::{Applied, Outcome};
use super::assemble::Assembler;
use super::broken::Broken;
use super::chain::Chain;
use super::ids::IdTable;
use super::limits::Limits;
use super::origin::{OriginState, Origins};
use super::position::{LogMessage, Place, Position};
use super::record::Record;
use super::state::AppliedState;
use super::verdict::VoidReason;
use super::window::Window;
use crate::entry::{Control, Entry, EntryError, Message, SenderClock};

/// The state of certification after a position.
#[derive(Debug, Clone)]
pub struct Certifier {
    pub(super) limits: Limits,
    pub(super) storage_version: u16,
    pub(super) state: AppliedState,
    pub(super) window: Window,
    pub(super) origins: Origins,
    pub(super) assembler: Assembler,
    pub(super) ids: IdTable,
    pub(super) hashes: Vec<u64>,
}

/// What a message turned out to be, before the window is sealed.
pub(super) struct Judged {
    pub(super) entry: Option<Entry>,
    pub(super) outcome: Outcome,
    pub(super) record: Option<Record>,
}

impl Certifier {
    /// A certifier for a log that is read from its first message. Everything else is a [`super::Rebuild`].
    pub fn new(storage_version: u16) -> Self {
        Self::with_limits(AppliedState::genesis(), storage_version, Limits::RELEASED)
    }

    /// A certifier that knows a state and has no memory: it can be asked, and must be given nothing to decide.
    pub fn standing_still(state: AppliedState, storage_version: u16) -> Self {
        Self::with_limits(state, storage_version, Limits::RELEASED)
    }

    /// A certifier whose window is empty and begins at the state's horizon.
    pub(crate) fn with_limits(state: AppliedState, storage_version: u16, limits: Limits) -> Self {
        Self {
            limits,
            storage_version,
            window: Window::new(limits, state.horizon()),
            origins: Origins::default(),
            assembler: Assembler::default(),
            ids: IdTable::new(),
            hashes: Vec::new(),
            state,
        }
    }

    /// The state to store: it is that after the last applied message.
    pub fn state(&self) -> &AppliedState {
        &self.state
    }

    /// What is known of a CSP as a sender. A new incarnation must be higher than the one known.
    pub fn origin(&self, csp: &str) -> Option<OriginState> {
        self.origins.get(csp)
    }

    /// The place of the accepted transaction that had this id, while it is known.
    pub fn find_id(&self, id: &str) -> Option<Place> {
        self.ids.lookup(id)
    }

    /// How many ids are known.
    pub fn known_ids(&self) -> usize {
        self.ids.len()
    }

    /// Decides about the next message. After an error nothing has changed, and the copy must stop.
    pub fn apply(&mut self, message: LogMessage) -> Result<Applied, Broken> {
        let position = message.position;
        let decoded = self.admit(&message)?;
        let chain = self.state.chain.next(&message.payload);
        self.state.clock = self.state.clock.next(message.timestamp_us, sender_clock(&decoded));
        let expired_ids = self.expire_ids();
        let judged = match decoded {
            Ok(Message::Control(control)) => self.take_control(control),
            Ok(Message::Entry(entry)) => self.take_entry(entry, &message),
            Ok(Message::Foreign) => Judged::void(None, VoidReason::Foreign, false),
            Err(_) => Judged::void(None, VoidReason::Malformed, false),
        };
        if matches!(judged.outcome, Outcome::Void(reason) if reason.is_junk()) {
            self.state.junk += 1;
        }
        self.seal(position, chain);
        debug_assert_eq!(self.validate(), Ok(()));
        let Judged { entry, outcome, record } = judged;
        Ok(Applied { position, log_time_ms: self.state.clock.time_ms(), entry, outcome, record, expired_ids })
    }

    /// Checks that this copy may go on with a message. Changes nothing. An inner error makes the message void.
    fn admit(&self, message: &LogMessage) -> Result<Result<Message, EntryError>, Broken> {
        let position = message.position;
        let expected = self.state.position + 1;
        if position != expected {
            return Err(Broken::Sequence { expected, found: position });
        }
        let decoded = Message::decode(message.payload.clone());
        match &decoded {
            Err(source) if source.is_newer() => Err(Broken::Unreadable { position, source: source.clone() }),
            Ok(Message::Entry(entry)) if entry.storage_version() > self.storage_version && self.counts(entry) => {
                let (ours, theirs) = (self.storage_version, entry.storage_version());
                Err(Broken::StorageVersion { position, ours, theirs })
            }
            _ => Ok(decoded),
        }
    }

    fn take_control(&mut self, control: Control) -> Judged {
        let effective = match &control {
            Control::Define { replication, isolation, ids_kept_ms, .. } => {
                self.state.replication = *replication;
                self.state.isolation = *isolation;
                self.state.ids_kept_ms = *ids_kept_ms;
                true
            }
            Control::Epoch { epoch, primary } if *epoch > self.state.epoch => {
                self.state.epoch = *epoch;
                self.state.primary = Some(primary.clone());
                true
            }
            Control::Epoch { .. } => false,
            Control::Mark { .. } => true,
        };
        Judged { entry: None, outcome: Outcome::Control { control, effective }, record: None }
    }

    fn expire_ids(&mut self) -> Vec<Position> {
        let expired = self.ids.expire(self.state.clock.time_ms(), self.state.ids_kept_ms, self.limits.ids_max);
        self.state.ids_horizon = expired.last().copied().unwrap_or(self.state.ids_horizon);
        expired
    }

    fn seal(&mut self, position: Position, chain: Chain) {
        self.window.seal(chain, self.state.clock);
        self.state.position = position;
        self.state.chain = chain;
        if self.window.advance(self.state.clock.time_ms()) {
            let horizon = self.window.horizon();
            self.state.horizon = horizon.position;
            self.state.horizon_chain = horizon.chain;
            self.state.horizon_clock = horizon.clock;
            self.origins.forget_up_to(horizon.position);
            self.assembler.forget_up_to(horizon.position);
        }
    }

    /// Checks what must hold after each message; says what does not.
    pub fn validate(&self) -> Result<(), &'static str> {
        let state = &self.state;
        let checks = [
            (state.horizon <= state.position, "horizon <= applied"),
            (self.window.horizon() == state.horizon(), "the window begins at the horizon"),
            (self.window.last_position() == state.position, "the window ends at the applied position"),
            (self.window.chain_at(state.position) == Some(state.chain), "the window ends with the chain"),
            (state.horizon_clock.time_us <= state.clock.time_us, "log time does not go back"),
            (self.ids.last_position().is_none_or(|last| last <= state.position), "ids are of the past"),
            (state.ids_horizon <= state.position, "ids expire in the past"),
        ];
        checks.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(rule))
    }
}

/// Two certifiers are equal if they will decide alike for ever.
impl PartialEq for Certifier {
    fn eq(&self, other: &Self) -> bool {
        self.limits == other.limits
            && self.storage_version == other.storage_version
            && self.state == other.state
            && self.window == other.window
            && self.origins == other.origins
            && self.assembler == other.assembler
            && self.ids == other.ids
    }
}

/// What the sender says of the time, if the outside of an entry can be read.
pub(super) fn sender_clock(decoded: &Result<Message, EntryError>) -> Option<SenderClock> {
    match decoded {
        Ok(Message::Entry(entry)) => entry.clock(),
        Ok(Message::Control(_) | Message::Foreign) | Err(_) => None,
    }
}

impl Judged {
    pub(super) fn void(entry: Option<Entry>, reason: VoidReason, registered: bool) -> Self {
        Self { entry, outcome: Outcome::Void(reason), record: Some(Record::Void { registered }) }
    }
}
