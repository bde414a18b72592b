//! What a copy stores with its data, in the same commit: where it is in the log, and the rules that hold there.

use super::chain::Chain;
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
    /// Log time: the highest timestamp of the log so far, so that it never goes back.
    pub log_time_ms: u64,
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
    /// Log time at the horizon.
    pub horizon_log_time_ms: u64,
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

const VERSION: u8 = 2;
/// Did not count junk.
const VERSION_WITHOUT_JUNK: u8 = 1;
const STATE: &str = "state";

impl AppliedState {
    /// The state before the first message of a log. Until the log defines the group nothing is accepted: it starts as a
    /// primary group without a primary.
    pub fn genesis() -> Self {
        Self {
            position: 0,
            chain: Chain::default(),
            log_time_ms: 0,
            stamp: 0,
            epoch: 0,
            primary: None,
            replication: Replication::Primary,
            isolation: Isolation::Serializable,
            ids_kept_ms: 0,
            ids_horizon: 0,
            horizon: 0,
            horizon_chain: Chain::default(),
            horizon_log_time_ms: 0,
            junk: 0,
        }
    }

    pub(super) fn horizon(&self) -> Horizon {
        Horizon { position: self.horizon, chain: self.horizon_chain, log_time_ms: self.horizon_log_time_ms }
    }

    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.push(VERSION);
        bytes.push(
            u8::from(self.replication == Replication::Peer) | u8::from(self.isolation == Isolation::Snapshot) << 1,
        );
        bytes.extend_from_slice(&self.chain.to_bytes());
        bytes.extend_from_slice(&self.horizon_chain.to_bytes());
        let numbers = [
            self.position,
            self.log_time_ms,
            self.stamp,
            self.epoch,
            self.ids_kept_ms,
            self.ids_horizon,
            self.horizon,
            self.horizon_log_time_ms,
        ];
        numbers.into_iter().for_each(|number| wire::put_varint(&mut bytes, number));
        wire::put_prefixed(&mut bytes, self.primary.as_deref().unwrap_or_default().as_bytes());
        wire::put_varint(&mut bytes, self.junk);
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
        if flags > 3 {
            return Err(EntryError::Value { what: STATE, value: u64::from(flags) });
        }
        let state = Self {
            replication: if flags & 1 == 0 { Replication::Primary } else { Replication::Peer },
            isolation: if flags & 2 == 0 { Isolation::Serializable } else { Isolation::Snapshot },
            chain: Chain::from_bytes(reader.array(STATE)?),
            horizon_chain: Chain::from_bytes(reader.array(STATE)?),
            position: reader.varint(STATE)?,
            log_time_ms: reader.varint(STATE)?,
            stamp: reader.varint(STATE)?,
            epoch: reader.varint(STATE)?,
            ids_kept_ms: reader.varint(STATE)?,
            ids_horizon: reader.varint(STATE)?,
            horizon: reader.varint(STATE)?,
            horizon_log_time_ms: reader.varint(STATE)?,
            primary: read_primary(reader)?,
            junk: if version > VERSION_WITHOUT_JUNK { reader.varint(STATE)? } else { 0 },
        };
        match reader.left() {
            0 => Ok(state),
            count => Err(EntryError::Trailing { what: STATE, count }),
        }
    }
}

fn read_primary(reader: &mut wire::Reader<'_>) -> Result<Option<String>, EntryError> {
    let name = std::str::from_utf8(reader.prefixed(STATE)?).map_err(|_| EntryError::Text { what: "primary" })?;
    Ok((!name.is_empty()).then(|| name.to_owned()))
}
