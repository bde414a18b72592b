//! Decides what each message of the log means: a deterministic function of the log, and of nothing else.
//!
//! For each message, in this order:
//! 1. Its position is the next one. Its outside can be read. If its base is in the window, its sender's chain value there is
//!    ours. Otherwise this copy and the log do not belong together: [`Broken`], nothing is changed, the copy must stop.
//! 2. Void, and its sender's number is not registered: malformed outside; a base below the horizon; a number that was
//!    passed (`origin`).
//! 3. The number is registered. Void: not from the primary of the current epoch, in a primary group; parts missing
//!    (`assemble`); malformed inside.
//! 4. Each transaction is judged, in order (`judge`).
//! 5. The horizon moves as the limits demand (`window`).
//!
//! ```text
//! horizon <= snapshot <= base <= applied < position
//! ```

use super::applied::{Applied, AppliedBatch, Decision, Outcome};
use super::assemble::{Assembled, Assembler};
use super::chain::Chain;
use super::ids::IdTable;
use super::limits::Limits;
use super::origin::{OriginState, Origins};
use super::position::{LogMessage, Place, Position};
use super::record::Record;
use super::state::AppliedState;
use super::verdict::VoidReason;
use super::window::Window;
use crate::entry::{Batch, Control, Entry, EntryError, Message, Replication};

/// This copy must not go on: it and the log do not belong together, or it cannot read what others can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A message is missing, or the log went back.
    #[error("the log delivered position {found} where {expected} should follow")]
    Sequence {
        /// The position that must follow.
        expected: Position,
        /// The position that came.
        found: Position,
    },
    /// This version cannot read the message, but others may.
    #[error("position {position} cannot be read")]
    Unreadable {
        /// Where.
        position: Position,
        /// Why.
        #[source]
        source: EntryError,
    },
    /// The message is from a copy with a newer storage format of SurrealDB. Upgrade this CSP.
    #[error("position {position} has storage version {theirs}, this copy has {ours}")]
    StorageVersion {
        /// Where.
        position: Position,
        /// The version of this copy.
        ours: u16,
        /// The version of the entry.
        theirs: u16,
    },
    /// The sender has read another log than this copy. Read the window again (`horizon + 1` up to the applied position) and
    /// compare its chain with [`AppliedState::chain`]. If they differ this copy is wrong. If they agree the sender is:
    /// go on with [`Certifier::apply_audited`], or its one message would stop every copy for ever.
    #[error("the sender of position {position} has another chain at {base} than this copy")]
    OtherLog {
        /// Where.
        position: Position,
        /// Where the sender had another chain value, or a position that does not exist yet.
        base: Position,
    },
    /// What was replayed does not lead to the stored state.
    #[error("replaying the log up to {position} does not lead to the stored state: {reason}")]
    Replay {
        /// Where.
        position: Position,
        /// What differs.
        reason: &'static str,
    },
}

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
struct Judged {
    entry: Option<Entry>,
    outcome: Outcome,
    record: Option<Record>,
}

impl Certifier {
    /// A certifier for a log that is read from its first message. Everything else is a [`super::Rebuild`].
    pub fn new(storage_version: u16) -> Self {
        Self::with_limits(AppliedState::genesis(), storage_version, Limits::RELEASED)
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
        self.apply_with(message, false)
    }

    /// As [`apply`](Self::apply), after an audit has shown that this copy's chain is that of the log: an entry whose
    /// sender has read another log is then void, as it is on every copy that read the log as it is.
    pub fn apply_audited(&mut self, message: LogMessage) -> Result<Applied, Broken> {
        self.apply_with(message, true)
    }

    fn apply_with(&mut self, message: LogMessage, audited: bool) -> Result<Applied, Broken> {
        let position = message.position;
        let decoded = self.admit(&message, audited)?;
        let chain = self.state.chain.next(&message.payload);
        self.state.log_time_ms = self.state.log_time_ms.max(message.timestamp_us / 1_000);
        let expired_ids = self.expire_ids();
        let judged = match decoded {
            Ok(Message::Control(control)) => self.take_control(control),
            Ok(Message::Entry(entry)) => self.take_entry(entry, &message),
            Ok(Message::Foreign) => Judged::void(None, VoidReason::Foreign, false),
            Err(_) => Judged::void(None, VoidReason::Malformed, false),
        };
        self.seal(position, chain);
        debug_assert_eq!(self.validate(), Ok(()));
        let Judged { entry, outcome, record } = judged;
        Ok(Applied {
            position,
            log_time_ms: self.state.log_time_ms,
            entry,
            outcome,
            record,
            expired_ids,
        })
    }

    /// Checks that this copy may go on with a message. Changes nothing. An inner error makes the message void.
    fn admit(&self, message: &LogMessage, audited: bool) -> Result<Result<Message, EntryError>, Broken> {
        let position = message.position;
        let expected = self.state.position + 1;
        if position != expected {
            return Err(Broken::Sequence {
                expected,
                found: position,
            });
        }
        let decoded = Message::decode(message.payload.clone());
        match &decoded {
            Err(source) if source.is_unreadable() => Err(Broken::Unreadable {
                position,
                source: source.clone(),
            }),
            Ok(Message::Entry(entry)) if !audited && self.has_other_log(entry) => Err(Broken::OtherLog {
                position,
                base: entry.base(),
            }),
            Ok(Message::Entry(entry)) if self.counts(entry) && entry.storage_version() > self.storage_version => {
                let (ours, theirs) = (self.storage_version, entry.storage_version());
                Err(Broken::StorageVersion { position, ours, theirs })
            }
            _ => Ok(decoded),
        }
    }

    fn has_other_log(&self, entry: &Entry) -> bool {
        let ours = self.window.chain_at(entry.base());
        entry.base() >= self.state.horizon && ours.map(Chain::to_bytes) != Some(entry.base_chain())
    }

    /// Why an entry is void, and whether it registers its number all the same.
    fn void_reason(&self, entry: &Entry) -> Option<(VoidReason, bool)> {
        if entry.base() < self.state.horizon {
            Some((VoidReason::BaseTooOld, false))
        } else if self
            .origins
            .is_superseded(entry.csp(), entry.incarnation(), entry.number())
        {
            Some((VoidReason::Superseded, false))
        } else if self.has_other_log(entry) {
            Some((VoidReason::OtherLog, false))
        } else if !self.may_write(entry) {
            Some((VoidReason::NotPrimary, true))
        } else {
            None
        }
    }

    fn counts(&self, entry: &Entry) -> bool {
        self.void_reason(entry).is_none()
    }

    fn may_write(&self, entry: &Entry) -> bool {
        match self.state.replication {
            Replication::Peer => true,
            Replication::Primary => {
                entry.epoch() == self.state.epoch && self.state.primary.as_deref() == Some(entry.csp())
            }
        }
    }

    fn take_control(&mut self, control: Control) -> Judged {
        let effective = match &control {
            Control::Define {
                replication,
                isolation,
                ids_kept_ms,
                ..
            } => {
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
        };
        Judged {
            entry: None,
            outcome: Outcome::Control { control, effective },
            record: None,
        }
    }

    fn take_entry(&mut self, entry: Entry, message: &LogMessage) -> Judged {
        let void = self.void_reason(&entry);
        if let Some((reason, false)) = void {
            return Judged::void(Some(entry), reason, false);
        }
        self.register(&entry, message.position);
        if let Some((reason, _)) = void {
            self.assembler.give_up(entry.csp());
            return Judged::void(Some(entry), reason, true);
        }
        match self.assembler.take(&entry, message.position) {
            Assembled::Collected => Judged {
                entry: Some(entry),
                outcome: Outcome::Collected,
                record: None,
            },
            Assembled::Void(reason) => Judged::void(Some(entry), reason, true),
            Assembled::Complete { body, first_position } => match Batch::decode(body, entry.base()) {
                Err(_) => Judged::void(Some(entry), VoidReason::Malformed, true),
                Ok(batch) => {
                    self.window.complete(first_position);
                    self.judge_batch(entry, batch, message)
                }
            },
        }
    }

    pub(super) fn register(&mut self, entry: &Entry, position: Position) {
        let state = OriginState {
            incarnation: entry.incarnation(),
            number: entry.number(),
            position,
        };
        self.origins.register(entry.csp(), state);
    }

    fn judge_batch(&mut self, entry: Entry, batch: Batch, message: &LogMessage) -> Judged {
        let decisions: Vec<Decision> = (0_u32..)
            .zip(batch.iter())
            .map(|(index, transaction)| {
                let verdict = self.judge(
                    transaction,
                    Place {
                        position: message.position,
                        index,
                    },
                );
                let stamped = verdict.is_accepted() && transaction.stamped();
                Decision {
                    verdict,
                    stamp: stamped.then(|| self.next_stamp(message.timestamp_us)),
                }
            })
            .collect();
        let refused = decisions
            .iter()
            .enumerate()
            .filter(|(_, decision)| !decision.verdict.is_accepted());
        let record = Record::of_refused(refused.map(|(index, _)| index));
        Judged {
            entry: Some(entry),
            outcome: Outcome::Batch(AppliedBatch::new(batch, decisions)),
            record,
        }
    }

    fn next_stamp(&mut self, timestamp_us: u64) -> u64 {
        self.state.stamp = timestamp_us.max(self.state.stamp + 1);
        self.state.stamp
    }

    fn expire_ids(&mut self) -> Vec<Position> {
        let expired = self
            .ids
            .expire(self.state.log_time_ms, self.state.ids_kept_ms, self.limits.ids_max);
        self.state.ids_horizon = expired.last().copied().unwrap_or(self.state.ids_horizon);
        expired
    }

    fn seal(&mut self, position: Position, chain: Chain) {
        self.window.seal(chain, self.state.log_time_ms);
        self.state.position = position;
        self.state.chain = chain;
        if self.window.advance(self.state.log_time_ms) {
            let horizon = self.window.horizon();
            self.state.horizon = horizon.position;
            self.state.horizon_chain = horizon.chain;
            self.state.horizon_log_time_ms = horizon.log_time_ms;
            self.origins.forget_up_to(horizon.position);
            self.assembler.forget_up_to(horizon.position);
        }
    }

    /// Checks what must hold after each message; says what does not.
    pub fn validate(&self) -> Result<(), &'static str> {
        let state = &self.state;
        let checks = [
            (state.horizon <= state.position, "horizon <= applied"),
            (
                self.window.horizon() == state.horizon(),
                "the window begins at the horizon",
            ),
            (
                self.window.last_position() == state.position,
                "the window ends at the applied position",
            ),
            (
                self.window.chain_at(state.position) == Some(state.chain),
                "the window ends with the chain",
            ),
            (
                state.horizon_log_time_ms <= state.log_time_ms,
                "log time does not go back",
            ),
            (
                self.ids.last_position().is_none_or(|last| last <= state.position),
                "ids are of the past",
            ),
            (state.ids_horizon <= state.position, "ids expire in the past"),
        ];
        checks
            .iter()
            .find(|(holds, _)| !holds)
            .map_or(Ok(()), |(_, rule)| Err(rule))
    }
}

impl Judged {
    fn void(entry: Option<Entry>, reason: VoidReason, registered: bool) -> Self {
        Self {
            entry,
            outcome: Outcome::Void(reason),
            record: Some(Record::Void { registered }),
        }
    }
}
