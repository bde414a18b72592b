//! A log that is written by senders as the rules ask of them: each message once as bytes, and once as what it means.

use std::rc::Rc;

use bytes::Bytes;

use super::STORAGE_VERSION;
use crate::entry::{BatchEncoder, Control, EntryHeader, SenderClock, TransactionHead, Write};
use crate::model::{Chain, LogMessage};

/// A transaction as its sender meant it.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Meant {
    pub snapshot: u64,
    pub stamped: bool,
    pub serializable: bool,
    pub id: Option<String>,
    pub writes: Vec<(Vec<u8>, bool)>,
    pub locked: Vec<Vec<u8>>,
    pub reads: Vec<Vec<u8>>,
    pub ranges: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The outside of an entry as its sender meant it.
#[derive(Debug, Clone)]
pub(in crate::model) struct Outside {
    pub csp: &'static str,
    pub incarnation: u64,
    pub number: u64,
    pub epoch: u64,
    pub base: u64,
    pub part: u32,
    pub parts: u32,
    pub clock: Option<SenderClock>,
}

/// What a message means.
#[derive(Debug, Clone)]
pub(in crate::model) enum Sent {
    Control(Control),
    Foreign,
    Damaged,
    Entry(Outside, Rc<Vec<Meant>>),
    /// An entry whose sender has read another log.
    OfOtherLog(Outside),
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(in crate::model) struct Letter {
    pub payload: Bytes,
    pub sent: Sent,
}

/// Everything that the log holds.
#[derive(Debug, Clone, Default)]
pub(in crate::model) struct Log {
    pub messages: Vec<(LogMessage, Sent)>,
    chains: Vec<Chain>,
}

impl Log {
    pub fn end(&self) -> u64 {
        self.messages.len() as u64
    }

    pub fn append(&mut self, timestamp_us: u64, letter: Letter) {
        self.chains.push(self.chain_at(self.end()).next(&letter.payload));
        let message = LogMessage { position: self.end() + 1, timestamp_us, payload: letter.payload };
        self.messages.push((message, letter.sent));
    }

    pub fn chain_at(&self, position: u64) -> Chain {
        if position == 0 { Chain::default() } else { self.chains[position as usize - 1] }
    }

    /// The epoch that a copy knows at a position.
    pub fn epoch_at(&self, position: u64) -> u64 {
        let epochs = self.messages.iter().take(position as usize).map(|(_, sent)| match sent {
            Sent::Control(Control::Epoch { epoch, .. }) => *epoch,
            _ => 0,
        });
        epochs.max().unwrap_or(0)
    }

    /// How far a process may have read and still send: not up to an entry of its successor.
    pub fn fence_of(&self, csp: &str, incarnation: u64) -> u64 {
        let successor = self.messages.iter().position(
            |(_, sent)| matches!(sent, Sent::Entry(outside, _) if outside.csp == csp && outside.incarnation > incarnation),
        );
        successor.map_or(self.end(), |index| index as u64)
    }
}

/// Seals transactions into one letter or, in parts of at most `message_max` bytes, into several.
pub(in crate::model) fn seal(
    outside: &Outside,
    chain: Chain,
    transactions: Vec<Meant>,
    message_max: usize,
) -> Vec<Letter> {
    let mut encoder = BatchEncoder::new();
    for (local, meant) in transactions.iter().enumerate() {
        let head = TransactionHead {
            local: local as u64,
            snapshot: meant.snapshot,
            stamped: meant.stamped,
            serializable: meant.serializable,
            id: meant.id.as_deref(),
            fingerprint: None,
            results: None,
        };
        let writes = meant.writes.iter().map(|(key, stamped)| Write { key, value: Some(b"v"), stamped: *stamped });
        let [locked, reads] = [&meant.locked, &meant.reads].map(|keys| keys.iter().map(Vec::as_slice));
        let ranges = meant.ranges.iter().map(|(begin, end)| (begin.as_slice(), end.as_slice()));
        encoder.push(&head, writes, locked, reads, ranges).unwrap();
    }
    let header = EntryHeader {
        storage_version: STORAGE_VERSION,
        epoch: outside.epoch,
        csp: outside.csp,
        incarnation: outside.incarnation,
        number: outside.number,
        base: outside.base,
        base_chain: chain.to_bytes(),
        clock: outside.clock,
    };
    let messages = encoder.finish(&header, message_max).unwrap();
    let parts = messages.len() as u32;
    let transactions = Rc::new(transactions);
    let letter = |(part, payload)| {
        // Between parts nothing passes.
        let clock =
            outside.clock.map(|clock| SenderClock { since_us: if part == 0 { clock.since_us } else { 0 }, ..clock });
        let outside = Outside { number: outside.number + u64::from(part), part, parts, clock, ..outside.clone() };
        Letter { payload, sent: Sent::Entry(outside, Rc::clone(&transactions)) }
    };
    (0..).zip(messages).map(letter).collect()
}

pub(in crate::model) fn control(control: Control) -> Letter {
    Letter { payload: serde_json::to_vec(&control).unwrap().into(), sent: Sent::Control(control) }
}
