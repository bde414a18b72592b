//! Finds the fields of a transaction in a body, and checks all of them, so that reading them later cannot fail.

use super::ID_MAX_BYTES;
use super::error::EntryError;
use super::transaction::{flags, read_range, read_write};
use super::wire::{Reader, Span};

/// Where the fields of a transaction are in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) flags: u8,
    pub(super) local: u64,
    pub(super) snapshot: u64,
    pub(super) id: Span,
    pub(super) results: Span,
    pub(super) writes: Span,
    pub(super) locked: Span,
    pub(super) reads: Span,
    pub(super) ranges: Span,
}

impl Outline {
    /// Reads one transaction and checks all of it, so that its views cannot fail later.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, EntryError> {
        let flags = reader.u8("transaction")?;
        if flags & !flags::KNOWN != 0 {
            return Err(EntryError::Value { what: "transaction flags", value: u64::from(flags) });
        }
        let has = |flag: u8| flags & flag != 0;
        let local = reader.varint("transaction")?;
        let snapshot = reader.varint("transaction")?;
        let id = if has(flags::ID) { read_id(reader)? } else { Span::default() };
        let results = if has(flags::RESULTS) {
            let length = reader.length("results")?;
            reader.span(length, "results")?
        } else {
            Span::default()
        };
        let writes = read_section(reader, true, "writes", check_writes)?;
        let locked = read_section(reader, has(flags::LOCKED), "locked keys", check_keys)?;
        let reads = read_section(reader, has(flags::READS), "read keys", check_keys)?;
        let ranges = read_section(reader, has(flags::RANGES), "read ranges", check_ranges)?;
        Ok(Self { flags, local, snapshot, id, results, writes, locked, reads, ranges })
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<Span, EntryError> {
    let length = usize::from(reader.u8("id")?);
    if length > ID_MAX_BYTES {
        return Err(EntryError::TooLarge { what: "id", value: length as u64, limit: ID_MAX_BYTES as u64 });
    }
    let mut ahead = reader.clone();
    let span = reader.span(length, "id")?;
    match std::str::from_utf8(ahead.take(length, "id")?) {
        Ok(id) if !id.is_empty() => Ok(span),
        _ => Err(EntryError::Text { what: "id" }),
    }
}

fn read_section(
    reader: &mut Reader<'_>,
    present: bool,
    what: &'static str,
    check: fn(&mut Reader<'_>) -> Result<(), EntryError>,
) -> Result<Span, EntryError> {
    if !present {
        return Ok(Span::default());
    }
    let length = reader.u32(what)? as usize;
    let mut inside = Reader::new(reader.clone().take(length, what)?);
    while !inside.is_empty() {
        check(&mut inside)?;
    }
    reader.span(length, what)
}

fn check_writes(reader: &mut Reader<'_>) -> Result<(), EntryError> {
    read_write(reader).map(drop)
}

fn check_keys(reader: &mut Reader<'_>) -> Result<(), EntryError> {
    reader.prefixed("key").map(drop)
}

fn check_ranges(reader: &mut Reader<'_>) -> Result<(), EntryError> {
    read_range(reader).map(drop)
}
