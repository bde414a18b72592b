//! What applying one message of the log decided, for the caller to carry out.

use super::position::Position;
use super::record::Record;
use super::verdict::{Verdict, VoidReason};
use crate::entry::{Batch, Control, Entry, Transaction};

/// The decisions about one message. To be stored in one commit: the writes of the accepted transactions, their ids, the
/// record, and the certifier's state.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The position of the message, which is now the applied one.
    pub position: Position,
    /// Log time at the position: what to store the ids with.
    pub log_time_ms: u64,
    /// The outside of the entry, if the message is one. If its number was registered, a sender that finds its own incarnation here
    /// knows the fate of everything that it numbered up to [`Entry::number`], and one that finds a higher incarnation of itself must
    /// stop sending.
    pub entry: Option<Entry>,
    /// What became of it.
    pub outcome: Outcome,
    /// What to keep about this position until the horizon has passed it; none if nothing was refused.
    pub record: Option<Record>,
    /// Positions whose ids need not be kept any more.
    pub expired_ids: Vec<Position>,
}

/// What became of a message.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A control message.
    Control {
        /// What it says.
        control: Control,
        /// False if it is void: an epoch that is not higher than the current one.
        effective: bool,
    },
    /// A part of an entry that is not complete yet.
    Collected,
    /// An entry whose transactions were judged one by one.
    Batch(AppliedBatch),
    /// A message that does not count, with all that is in it.
    Void(VoidReason),
}

/// The transactions of an entry and what became of each.
#[derive(Debug, Clone)]
pub struct AppliedBatch {
    batch: Batch,
    decisions: Vec<Decision>,
}

/// What became of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Accepted, or why not.
    pub verdict: Verdict,
    /// The stamp of the log to put into its keys and values, if it asked for one and was accepted.
    pub stamp: Option<u64>,
}

impl AppliedBatch {
    pub(crate) fn new(batch: Batch, decisions: Vec<Decision>) -> Self {
        Self { batch, decisions }
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.decisions.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// The decoded transactions.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// What became of each, by index.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// All transactions with what became of them, in order; the place of each is its index here.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Transaction<'_>, Decision)> {
        self.batch.iter().zip(self.decisions.iter().copied())
    }

    /// The accepted transactions: index, transaction, stamp. They are to be applied in this order.
    pub fn accepted(&self) -> impl Iterator<Item = (u32, Transaction<'_>, Option<u64>)> {
        (0_u32..)
            .zip(self.iter())
            .filter(|(_, (_, decision))| decision.verdict.is_accepted())
            .map(|(index, (transaction, decision))| (index, transaction, decision.stamp))
    }
}
