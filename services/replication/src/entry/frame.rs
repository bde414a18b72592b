//! The outside of an entry: who sent it, its number, and what its sender had applied when it sealed it.

use bytes::Bytes;

use super::encoder::{EntryHeader, SenderClock};
use super::error::EntryError;
use super::wire::{Reader, Span, put_varint};
use super::{BODY_MAX_BYTES, CSP_NAME_MAX_BYTES, PARTS_MAX, compress};

pub(super) const MAGIC: u8 = 0xB7;
/// Entries of the first version bear no clock of their sender.
const WITHOUT_CLOCK: u8 = 1;
const VERSION: u8 = 2;
const CHECKED_FROM: usize = 6;
const COMPRESSED: u8 = 1;
const HEADER: &str = "header";

/// An entry whose outside has been read and whose checksum is right. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    payload: Bytes,
    compressed: bool,
    storage_version: u16,
    epoch: u64,
    csp: Span,
    incarnation: u64,
    number: u64,
    base: u64,
    base_chain: [u8; 16],
    clock: Option<SenderClock>,
    part: u32,
    parts: u32,
    body_length: u32,
    body: Span,
}

impl Entry {
    /// Reads the outside of an entry.
    pub fn decode(payload: Bytes) -> Result<Self, EntryError> {
        let mut reader = Reader::new(&payload);
        let [magic, version] = reader.array(HEADER)?;
        if magic != MAGIC {
            return Err(EntryError::Value { what: "magic", value: u64::from(magic) });
        }
        // Before anything else: only what Holdfast sealed may say that a newer version is needed.
        verify(reader.u32(HEADER)?, checksum(version, payload.get(CHECKED_FROM..).unwrap_or_default()))?;
        match version {
            WITHOUT_CLOCK | VERSION => {}
            0 => return Err(EntryError::Value { what: "version", value: 0 }),
            version => return Err(EntryError::NewerFormat { version, known: VERSION }),
        }
        let flags = reader.u8(HEADER)?;
        if flags & !COMPRESSED != 0 {
            return Err(EntryError::Value { what: "flags", value: u64::from(flags) });
        }
        let storage_version = reader.u16(HEADER)?;
        let epoch = reader.varint(HEADER)?;
        let incarnation = reader.varint(HEADER)?;
        let number = reader.varint(HEADER)?;
        let base = reader.varint(HEADER)?;
        let part = reader.varint(HEADER)?;
        let parts = reader.varint(HEADER)?;
        let (part, parts) = check_parts(part, parts)?;
        let base_chain = reader.array(HEADER)?;
        let csp = read_name(&mut reader)?;
        let clock = if version == WITHOUT_CLOCK { None } else { Some(read_clock(&mut reader)?) };
        let body_length = read_body_length(&mut reader)?;
        let compressed = flags & COMPRESSED != 0;
        let body = reader.span(reader.left(), "body")?;
        if !compressed && body_length != body.end - body.start {
            return Err(EntryError::Truncated { what: "body" });
        }
        Ok(Self {
            payload,
            compressed,
            storage_version,
            epoch,
            csp,
            incarnation,
            number,
            base,
            base_chain,
            clock,
            part,
            parts,
            body_length,
            body,
        })
    }

    /// The uncompressed body: shared with the message unless it was compressed.
    pub fn body(&self) -> Result<Bytes, EntryError> {
        if self.compressed {
            return compress::unpack(self.body.of(&self.payload), self.body_length()).map(Bytes::from);
        }
        Ok(self.payload.slice(self.body.start as usize..self.body.end as usize))
    }

    /// Length of the body once uncompressed.
    pub fn body_length(&self) -> usize {
        self.body_length as usize
    }

    /// Name of the CSP that sent the entry.
    pub fn csp(&self) -> &str {
        // Checked when decoded.
        std::str::from_utf8(self.csp.of(&self.payload)).unwrap_or_default()
    }

    /// Start of the sender's process: higher with each restart of the same CSP.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The sender's number of this message: higher with each one of the same incarnation.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Epoch in which the sender believed to be.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Position that the sender had applied when it sealed the entry.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The sender's chain value at `base`.
    pub fn base_chain(&self) -> [u8; 16] {
        self.base_chain
    }

    /// What the sender knew of the time when it sealed the entry; none if it did not say.
    pub fn clock(&self) -> Option<SenderClock> {
        self.clock
    }

    /// SurrealDB storage version of the keys and values.
    pub fn storage_version(&self) -> u16 {
        self.storage_version
    }

    /// Which part of the whole this message is, from 0.
    pub fn part(&self) -> u32 {
        self.part
    }

    /// How many messages make up the whole.
    pub fn parts(&self) -> u32 {
        self.parts
    }

    /// True if this message completes the whole, as most do alone.
    pub fn is_last_part(&self) -> bool {
        self.part + 1 == self.parts
    }
}

/// Seals one message: `body` is the whole, or one slice, of the encoded transactions.
pub(super) fn seal(header: &EntryHeader<'_>, number: u64, part: u32, parts: u32, body: &[u8]) -> Bytes {
    let packed = compress::pack(body);
    let content = packed.as_deref().unwrap_or(body);
    let mut message = Vec::with_capacity(content.len() + 160);
    let version = if header.clock.is_some() { VERSION } else { WITHOUT_CLOCK };
    message.extend_from_slice(&[MAGIC, version, 0, 0, 0, 0, u8::from(packed.is_some())]);
    message.extend_from_slice(&header.storage_version.to_le_bytes());
    let numbers = [header.epoch, header.incarnation, number, header.base, u64::from(part), u64::from(parts)];
    numbers.into_iter().for_each(|value| put_varint(&mut message, value));
    message.extend_from_slice(&header.base_chain);
    message.push(header.csp.len() as u8);
    message.extend_from_slice(header.csp.as_bytes());
    if let Some(clock) = header.clock {
        put_varint(&mut message, clock.wall_ms);
        // Between the parts of one entry next to nothing passes, and what passed is told once.
        put_varint(&mut message, if part == 0 { clock.since_us } else { 0 });
    }
    put_varint(&mut message, body.len() as u64);
    message.extend_from_slice(content);
    let crc = checksum(version, &message[CHECKED_FROM..]);
    message[2..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
    Bytes::from(message)
}

/// The checksum of what follows it, and from version 2 on of the version as well: an entry of version 1 whose version was
/// damaged must not look like a sound one of a later version.
pub(crate) fn checksum(version: u8, checked: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    if version > 1 {
        hasher.update(&[version]);
    }
    hasher.update(checked);
    hasher.finalize()
}

fn verify(expected: u32, found: u32) -> Result<(), EntryError> {
    if found == expected { Ok(()) } else { Err(EntryError::Checksum { expected, found }) }
}

fn check_parts(part: u64, parts: u64) -> Result<(u32, u32), EntryError> {
    match (u32::try_from(part), u32::try_from(parts)) {
        (_, Ok(parts)) if parts > PARTS_MAX => {
            Err(EntryError::TooLarge { what: "parts", value: u64::from(parts), limit: u64::from(PARTS_MAX) })
        }
        (Ok(part), Ok(parts)) if part < parts => Ok((part, parts)),
        _ => Err(EntryError::Value { what: "part", value: part }),
    }
}

fn read_name(reader: &mut Reader<'_>) -> Result<Span, EntryError> {
    let length = usize::from(reader.u8(HEADER)?);
    if length > CSP_NAME_MAX_BYTES {
        return Err(EntryError::TooLarge { what: "name", value: length as u64, limit: CSP_NAME_MAX_BYTES as u64 });
    }
    let mut ahead = reader.clone();
    let span = reader.span(length, HEADER)?;
    match std::str::from_utf8(ahead.take(length, HEADER)?) {
        Ok(name) if !name.is_empty() => Ok(span),
        _ => Err(EntryError::Text { what: "name of the CSP" }),
    }
}

fn read_clock(reader: &mut Reader<'_>) -> Result<SenderClock, EntryError> {
    Ok(SenderClock { wall_ms: reader.varint(HEADER)?, since_us: reader.varint(HEADER)? })
}

fn read_body_length(reader: &mut Reader<'_>) -> Result<u32, EntryError> {
    let length = reader.varint(HEADER)?;
    match u32::try_from(length) {
        Ok(short) if short as usize <= BODY_MAX_BYTES => Ok(short),
        _ => Err(EntryError::TooLarge { what: "body", value: length, limit: BODY_MAX_BYTES as u64 }),
    }
}
