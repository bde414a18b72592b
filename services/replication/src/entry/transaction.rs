//! One transaction inside a decoded body: views, no copies.

use super::error::EntryError;
use super::outline::Outline;
use super::wire::Reader;

pub(super) mod flags {
    pub(crate) const STAMPED: u8 = 1;
    pub(crate) const SERIALIZABLE: u8 = 1 << 1;
    pub(crate) const ID: u8 = 1 << 2;
    pub(crate) const RESULTS: u8 = 1 << 3;
    pub(crate) const LOCKED: u8 = 1 << 4;
    pub(crate) const READS: u8 = 1 << 5;
    pub(crate) const RANGES: u8 = 1 << 6;
    pub(crate) const KNOWN: u8 = 0x7f;
}

pub(super) mod kind {
    pub(crate) const BITS: u32 = 2;
    pub(crate) const DELETE: u64 = 0;
    pub(crate) const SET: u64 = 1;
    pub(crate) const DELETE_STAMPED: u64 = 2;
    pub(crate) const SET_STAMPED: u64 = 3;
}

/// One key that a transaction sets (`value`) or deletes (no value).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value, or none to delete the key.
    pub value: Option<&'a [u8]>,
    /// True if the key holds the place for a stamp: what is stored is another key, its own for each transaction. It cannot
    /// conflict with another write; scanned ranges see it under the key as it is here, which should therefore sort
    /// behind every stamp.
    pub stamped: bool,
}

/// A view of one transaction.
#[derive(Debug, Clone, Copy)]
pub struct Transaction<'a> {
    body: &'a [u8],
    outline: &'a Outline,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(body: &'a [u8], outline: &'a Outline) -> Self {
        Self { body, outline }
    }

    fn has(&self, flag: u8) -> bool {
        self.outline.flags & flag != 0
    }

    /// The sender's own number.
    pub fn local(&self) -> u64 {
        self.outline.local
    }

    /// Position that the transaction read at.
    pub fn snapshot(&self) -> u64 {
        self.outline.snapshot
    }

    /// True if the copies have to put a stamp into its keys or values.
    pub fn stamped(&self) -> bool {
        self.has(flags::STAMPED)
    }

    /// True if what it read was captured.
    pub fn serializable(&self) -> bool {
        self.has(flags::SERIALIZABLE)
    }

    /// The client's id.
    pub fn id(&self) -> Option<&'a str> {
        let id = self.outline.id.of(self.body);
        if self.has(flags::ID) { std::str::from_utf8(id).ok() } else { None }
    }

    /// What is kept with the id: what was asked for, and what the client is told (`outcome`).
    pub fn results(&self) -> Option<&'a [u8]> {
        self.has(flags::RESULTS).then(|| self.outline.results.of(self.body))
    }

    /// The keys that it sets or deletes, in the order in which they were encoded.
    pub fn writes(&self) -> Writes<'a> {
        Writes(Reader::new(self.outline.writes.of(self.body)))
    }

    /// The keys that it read under lock.
    pub fn locked(&self) -> Keys<'a> {
        Keys(Reader::new(self.outline.locked.of(self.body)))
    }

    /// The keys that it read.
    pub fn reads(&self) -> Keys<'a> {
        Keys(Reader::new(self.outline.reads.of(self.body)))
    }

    /// The ranges that it scanned, each from a key up to, and without, another.
    pub fn ranges(&self) -> Ranges<'a> {
        Ranges(Reader::new(self.outline.ranges.of(self.body)))
    }
}

/// Iterates over writes.
#[derive(Debug, Clone)]
pub struct Writes<'a>(Reader<'a>);

impl<'a> Iterator for Writes<'a> {
    type Item = Write<'a>;

    fn next(&mut self) -> Option<Write<'a>> {
        if self.0.is_empty() { None } else { read_write(&mut self.0).ok() }
    }
}

/// Iterates over keys.
#[derive(Debug, Clone)]
pub struct Keys<'a>(Reader<'a>);

impl<'a> Iterator for Keys<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() { None } else { self.0.prefixed("key").ok() }
    }
}

/// Iterates over ranges.
#[derive(Debug, Clone)]
pub struct Ranges<'a>(Reader<'a>);

impl<'a> Iterator for Ranges<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        if self.0.is_empty() { None } else { read_range(&mut self.0).ok() }
    }
}

pub(super) fn read_write<'a>(reader: &mut Reader<'a>) -> Result<Write<'a>, EntryError> {
    let head = reader.varint("key")?;
    let length = usize::try_from(head >> kind::BITS).map_err(|_| EntryError::Truncated { what: "key" })?;
    let key = reader.take(length, "key")?;
    let kind = head & ((1 << kind::BITS) - 1);
    let set = kind == kind::SET || kind == kind::SET_STAMPED;
    let value = if set { Some(reader.prefixed("value")?) } else { None };
    Ok(Write { key, value, stamped: kind >= kind::DELETE_STAMPED })
}

pub(super) fn read_range<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), EntryError> {
    Ok((reader.prefixed("range")?, reader.prefixed("range")?))
}
