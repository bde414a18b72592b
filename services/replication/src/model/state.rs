//! What a copy stores with its data, in the same commit: where it is in the log, and the rules that hold there.

use super::chain::Chain;
use super::log_clock::LogClock;
use super::position::Position;
use super::window::Horizon;
use crate::entry::{EntryError, Isolation, Replication, wire};

/// Where a copy is, and what it knows there. Two copies at the same position have equal states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedState {
    /// The last position applied.
    pub position: Position,
    /// The chain value there.
    pub chain: Chain,
    /// The log's clock there.
    pub clock: LogClock,
    /// The last stamp that was given to a transaction, in microseconds.
    pub stamp: u64,
    /// The current epoch; 0 before the first.
    pub epoch: u64,
    /// The primary of the epoch.
    pub primary: Option<String>,
    /// Who may write.
    pub replication: Replication,
    /// What transactions are certified for.
    pub isolation: Isolation,
    /// For how long ids are known.
    pub ids_kept_ms: u64,
    /// Ids of transactions up to this position are gone.
    pub ids_horizon: Position,
    /// The last position whose writes are forgotten. The log is needed from the next one on.
    pub horizon: Position,
    /// The chain value at the horizon.
    pub horizon_chain: Chain,
    /// The log's clock at the horizon.
    pub horizon_clock: LogClock,
    /// How many messages of the log were junk ([`super::VoidReason::is_junk`]).
    pub junk: u64,
}

/// Bytes that are no state, or one of a newer version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A newer version of Holdfast stored this copy.
    #[error("the stored state has version {version}, which this version does not know")]
    UnknownVersion {
        /// The version found.
        version: u8,
    },
    /// The bytes are cut or hold an impossible value.
    #[error("the stored state is damaged")]
    Damaged(#[source] EntryError),
}

const VERSION: u8 = 3;
/// Knew no senders' clocks: log time was the highest stamp of the server, in milliseconds.
const VERSION_WITHOUT_CLOCKS: u8 = 2;
/// Did not count junk either.
const VERSION_WITHOUT_JUNK: u8 = 1;
const STATE: &str = "state";

impl AppliedState {
    /// The state before the first message of a log. Until the log defines the group nothing is accepted: it starts as a
    /// primary group without a primary.
    pub fn genesis() -> Self {
        Self {
            position: 0,
            chain: Chain::default(),
            clock: LogClock::default(),
            stamp: 0,
            epoch: 0,
            primary: None,
            replication: Replication::Primary,
            isolation: Isolation::Serializable,
            ids_kept_ms: 0,
            ids_horizon: 0,
            horizon: 0,
            horizon_chain: Chain::default(),
            horizon_clock: LogClock::default(),
            junk: 0,
        }
    }

    pub(super) fn horizon(&self) -> Horizon {
        Horizon { position: self.horizon, chain: self.horizon_chain, clock: self.horizon_clock }
    }

    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.push(VERSION);
        bytes.push(
            u8::from(self.replication == Replication::Peer)
                | u8::from(self.isolation == Isolation::Snapshot) << 1
                | u8::from(self.clock.by_two) << 2
                | u8::from(self.horizon_clock.by_two) << 3,
        );
        bytes.extend_from_slice(&self.chain.to_bytes());
        bytes.extend_from_slice(&self.horizon_chain.to_bytes());
        let numbers = [
            self.position,
            self.clock.time_us,
            self.stamp,
            self.epoch,
            self.ids_kept_ms,
            self.ids_horizon,
            self.horizon,
            self.horizon_clock.time_us,
        ];
        numbers.into_iter().for_each(|number| wire::put_varint(&mut bytes, number));
        wire::put_prefixed(&mut bytes, self.primary.as_deref().unwrap_or_default().as_bytes());
        let behind = [self.junk, self.clock.server_us, self.horizon_clock.server_us];
        behind.into_iter().for_each(|number| wire::put_varint(&mut bytes, number));
        bytes
    }

    /// Reads what was stored.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = wire::Reader::new(bytes);
        let version = reader.u8(STATE).map_err(StateError::Damaged)?;
        if !(VERSION_WITHOUT_JUNK..=VERSION).contains(&version) {
            return Err(StateError::UnknownVersion { version });
        }
        Self::read(&mut reader, version).map_err(StateError::Damaged)
    }

    fn read(reader: &mut wire::Reader<'_>, version: u8) -> Result<Self, EntryError> {
        let flags = reader.u8(STATE)?;
        if flags > if version > VERSION_WITHOUT_CLOCKS { 15 } else { 3 } {
            return Err(EntryError::Value { what: STATE, value: u64::from(flags) });
        }
        let mut state = Self {
            replication: if flags & 1 == 0 { Replication::Primary } else { Replication::Peer },
            isolation: if flags & 2 == 0 { Isolation::Serializable } else { Isolation::Snapshot },
            chain: Chain::from_bytes(reader.array(STATE)?),
            horizon_chain: Chain::from_bytes(reader.array(STATE)?),
            position: reader.varint(STATE)?,
            clock: read_clock(version, flags & 4 != 0, reader)?,
            stamp: reader.varint(STATE)?,
            epoch: reader.varint(STATE)?,
            ids_kept_ms: reader.varint(STATE)?,
            ids_horizon: reader.varint(STATE)?,
            horizon: reader.varint(STATE)?,
            horizon_clock: read_clock(version, flags & 8 != 0, reader)?,
            primary: read_primary(reader)?,
            junk: if version > VERSION_WITHOUT_JUNK { reader.varint(STATE)? } else { 0 },
        };
        if version > VERSION_WITHOUT_CLOCKS {
            state.clock.server_us = reader.varint(STATE)?;
            state.horizon_clock.server_us = reader.varint(STATE)?;
        }
        match reader.left() {
            0 => Ok(state),
            count => Err(EntryError::Trailing { what: STATE, count }),
        }
    }
}

fn read_clock(version: u8, by_two: bool, reader: &mut wire::Reader<'_>) -> Result<LogClock, EntryError> {
    let time = reader.varint(STATE)?;
    let time_us = if version > VERSION_WITHOUT_CLOCKS { time } else { time.saturating_mul(1_000) };
    Ok(LogClock { time_us, server_us: 0, by_two })
}

fn read_primary(reader: &mut wire::Reader<'_>) -> Result<Option<String>, EntryError> {
    let name = std::str::from_utf8(reader.prefixed(STATE)?).map_err(|_| EntryError::Text { what: "primary" })?;
    Ok((!name.is_empty()).then(|| name.to_owned()))
}
