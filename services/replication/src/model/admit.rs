//! Which entries count, by their outside alone, and what becomes of the transactions in those that do.

use super::applied::{AppliedBatch, Decision, Outcome};
use super::assemble::Assembled;
use super::certifier::{Certifier, Judged};
use super::chain::Chain;
use super::origin::OriginState;
use super::position::{LogMessage, Place, Position};
use super::record::Record;
use super::verdict::VoidReason;
use crate::entry::{Batch, Entry, Replication};

impl Certifier {
    fn has_other_log(&self, entry: &Entry) -> bool {
        let ours = self.window.chain_at(entry.base());
        entry.base() >= self.state.horizon && ours.map(Chain::to_bytes) != Some(entry.base_chain())
    }

    /// Why an entry is void, and whether it registers its number all the same.
    fn void_reason(&self, entry: &Entry) -> Option<(VoidReason, bool)> {
        if entry.base() < self.state.horizon {
            Some((VoidReason::BaseTooOld, false))
        } else if self.origins.is_superseded(entry.csp(), entry.incarnation(), entry.number()) {
            Some((VoidReason::Superseded, false))
        } else if self.has_other_log(entry) {
            Some((VoidReason::OtherLog, false))
        } else if !self.may_write(entry) {
            Some((VoidReason::NotPrimary, true))
        } else {
            None
        }
    }

    pub(super) fn counts(&self, entry: &Entry) -> bool {
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

    pub(super) fn take_entry(&mut self, entry: Entry, message: &LogMessage) -> Judged {
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
            Assembled::Collected => Judged { entry: Some(entry), outcome: Outcome::Collected, record: None },
            Assembled::Void(reason) => Judged::void(Some(entry), reason, true),
            Assembled::Complete { body, first_position } => match Batch::decode(body, entry.base()) {
                Err(_) => Judged::void(Some(entry), VoidReason::Malformed, true),
                // Senders that stamp no clock are of a version without this rule, whose entries were applied as they are.
                Ok(batch) if entry.clock().is_some() && batch.exceeds(self.limits.entry_writes_max) => {
                    Judged::void(Some(entry), VoidReason::TooLarge, true)
                }
                Ok(batch) => {
                    self.window.complete(first_position);
                    self.judge_batch(entry, batch, message)
                }
            },
        }
    }

    pub(super) fn register(&mut self, entry: &Entry, position: Position) {
        let state = OriginState { incarnation: entry.incarnation(), number: entry.number(), position };
        self.origins.register(entry.csp(), state);
    }

    fn judge_batch(&mut self, entry: Entry, batch: Batch, message: &LogMessage) -> Judged {
        let decisions: Vec<Decision> = (0_u32..)
            .zip(batch.iter())
            .map(|(index, transaction)| {
                let verdict = self.judge(transaction, Place { position: message.position, index });
                let stamped = verdict.is_accepted() && transaction.stamped();
                Decision { verdict, stamp: stamped.then(|| self.next_stamp(message.timestamp_us)) }
            })
            .collect();
        let refused = decisions.iter().enumerate().filter(|(_, decision)| !decision.verdict.is_accepted());
        let record = Record::of_refused(refused.map(|(index, _)| index));
        Judged { entry: Some(entry), outcome: Outcome::Batch(AppliedBatch::new(batch, decisions)), record }
    }

    /// Log time, or the server's stamp where senders did not stamp their entries yet.
    fn next_stamp(&mut self, timestamp_us: u64) -> u64 {
        let clock = self.state.clock;
        let now_us = if clock.by_two { clock.time_us } else { timestamp_us };
        self.state.stamp = now_us.max(self.state.stamp + 1);
        self.state.stamp
    }
}
