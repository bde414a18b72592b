//! Reads which writes a journal file of SurrealKV 0.21.4 holds, without their content. (The format is that of its `wal/mod.rs`,
//! `wal/reader.rs` and `batch.rs`; the tests of [`super`] read files that it wrote.)
//!
//! A file consists of blocks. A block holds parts, each behind a header: a checksum of its kind and content, its length, its kind. What
//! was committed at a time is one record: one part, or several in a row. It begins with its version, the number of its first write, and
//! how many writes there are; their numbers follow one another, through all files.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use integer_encoding::VarInt;

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
/// Enough of a record for its version and two numbers.
const HEAD_BYTES: usize = 32;
const RECORD_VERSION: u8 = 1;

/// A journal file that is being read.
pub(super) struct Records {
    file: File,
    block: Vec<u8>,
    /// Where in the file the block begins.
    block_at: u64,
    /// Where in the block the next part begins.
    at: usize,
    is_last_block: bool,
    /// Where the last whole record ends.
    whole_bytes: u64,
    /// Whether something was met that is whole and of a kind that is not known here.
    is_foreign: bool,
}

/// One part of a record.
enum Part<'a> {
    Whole(&'a [u8]),
    First(&'a [u8]),
    Middle(&'a [u8]),
    Last(&'a [u8]),
}

impl Records {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            block: Vec::new(),
            block_at: 0,
            at: 0,
            is_last_block: false,
            whole_bytes: 0,
            is_foreign: false,
        })
    }

    /// The numbers of the writes of the next record. None behind the last one that is whole: SurrealKV, too, reads no further.
    pub(super) fn next(&mut self) -> io::Result<Option<Range<u64>>> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let mut is_begun = false;
        loop {
            let (content, is_end) = match (self.part()?, is_begun) {
                (Some(Part::Whole(content)), false) | (Some(Part::Last(content)), true) => (content, true),
                (Some(Part::First(content)), false) | (Some(Part::Middle(content)), true) => (content, false),
                _ => return Ok(None),
            };
            is_begun = true;
            head.extend(content.iter().take(HEAD_BYTES - head.len()));
            if is_end {
                let numbers = numbers(&head);
                self.is_foreign |= numbers.is_none();
                self.whole_bytes = self.block_at + self.at as u64;
                return Ok(numbers);
            }
        }
    }

    /// Where the whole records end, if anything stands behind them that is not one: what a killed process, a full disk or a machine
    /// that lost its power left. To be asked when [`Self::next`] has given the last one.
    pub(super) fn torn_at(&self) -> io::Result<Option<u64>> {
        let behind = self.file.metadata()?.len().saturating_sub(self.whole_bytes);
        let left_of_block = BLOCK_BYTES as u64 - self.whole_bytes % BLOCK_BYTES as u64;
        let is_padding = left_of_block < HEADER_BYTES as u64 && behind <= left_of_block;
        Ok((behind > 0 && !is_padding && !self.is_foreign).then_some(self.whole_bytes))
    }

    fn part(&mut self) -> io::Result<Option<Part<'_>>> {
        const EMPTY: u8 = 0;
        loop {
            let rest = self.block.get(self.at..).unwrap_or_default();
            let is_padding = rest.get(HEADER_BYTES - 1) == Some(&EMPTY) && rest.iter().all(|byte| *byte == 0);
            if rest.len() >= HEADER_BYTES && !is_padding {
                break;
            }
            if !self.read_block()? {
                return Ok(None);
            }
        }
        let Some((header, behind)) = self.block.get(self.at..).and_then(<[u8]>::split_first_chunk::<HEADER_BYTES>)
        else {
            return Ok(None);
        };
        let [c1, c2, c3, c4, b1, b2, kind] = *header;
        let Some(content) = behind.get(..usize::from(u16::from_be_bytes([b1, b2]))) else { return Ok(None) };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&[kind]);
        hasher.update(content);
        if hasher.finalize() != u32::from_be_bytes([c1, c2, c3, c4]) {
            return Ok(None);
        }
        self.at += HEADER_BYTES + content.len();
        Ok(match kind {
            1 => Some(Part::Whole(content)),
            2 => Some(Part::First(content)),
            3 => Some(Part::Middle(content)),
            4 => Some(Part::Last(content)),
            // A compressed journal, which SurrealDB does not ask for, or one of a later version.
            _ => {
                self.is_foreign = true;
                None
            }
        })
    }

    /// Reads the next block; false if there is none.
    fn read_block(&mut self) -> io::Result<bool> {
        if self.is_last_block {
            return Ok(false);
        }
        self.block_at += self.block.len() as u64;
        self.block.clear();
        self.at = 0;
        let read = (&mut self.file).take(BLOCK_BYTES as u64).read_to_end(&mut self.block)?;
        self.is_last_block = read < BLOCK_BYTES;
        Ok(read > 0)
    }
}

fn numbers(record: &[u8]) -> Option<Range<u64>> {
    let (version, behind) = record.split_first()?;
    let (first, bytes) = u64::decode_var(behind).filter(|_| *version == RECORD_VERSION)?;
    let (writes, _) = u32::decode_var(behind.get(bytes..)?)?;
    Some(first..first.checked_add(u64::from(writes))?)
}
