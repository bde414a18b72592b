//! What Holdfast has to know of SurrealDB's keyspace: its own reserved corner, which reads a user can observe, and
//! where the changefeed's stamp stands in a key.
//!
//! The layout is that of SurrealDB 3.3.5 (`surrealdb-datastore`, `key/keyspace.map`): `/*` namespace (4 bytes) `*`
//! database (4 bytes), then `!` definitions and bookkeeping, `#` and `%` changefeeds, or `*` table (a string that ends
//! with a zero byte) followed by `*` records, `~` `^` edges, `&` references, `+` indexes, `!` definitions and bookkeeping.

/// Reserved keys. SurrealDB's whole-keyspace scans stop before 0xff and leave what is behind it to the embedder.
pub mod reserved {
    /// First byte of every key of ours.
    pub const PREFIX: u8 = 0xff;
    /// The applied state: position (8 bytes, big endian), changefeed stamp (8 bytes), then the certifier's own encoding.
    pub const APPLIED: [u8; 2] = [PREFIX, b'a'];
    /// Verdicts of one entry in which something was refused: prefix, then the position.
    pub const VERDICTS: [u8; 2] = [PREFIX, b'v'];
    /// Ids committed by one entry: prefix, then the position.
    pub const IDS: [u8; 2] = [PREFIX, b'i'];
    /// Results kept for the ids of one entry: prefix, then the position and the index.
    pub const RESULTS: [u8; 2] = [PREFIX, b'r'];
    /// Locks, held or with a lease that is over: prefix, then the name. The value begins with the token (8 bytes, big endian). Unlike the others
    /// these are written by transactions, so they are the same on every copy.
    pub const LOCKS: [u8; 2] = [PREFIX, b'l'];
    /// Where the locks end.
    pub const LOCKS_END: [u8; 2] = [PREFIX, b'l' + 1];

    /// The key of the lock `name`.
    #[must_use]
    pub fn lock(name: &str) -> Vec<u8> {
        [LOCKS.as_slice(), name.as_bytes()].concat()
    }

    /// The name of the lock whose key this is; none for any other key.
    #[must_use]
    pub fn lock_name(key: &[u8]) -> Option<&str> {
        std::str::from_utf8(key.strip_prefix(&LOCKS)?).ok()
    }

    /// The key under `prefix` for `position`.
    #[must_use]
    pub fn at(prefix: [u8; 2], position: u64) -> [u8; 10] {
        let mut key = [0; 10];
        key[..2].copy_from_slice(&prefix);
        key[2..].copy_from_slice(&position.to_be_bytes());
        key
    }

    /// The key under `prefix` for `position` and `index`.
    #[must_use]
    pub fn at_index(prefix: [u8; 2], position: u64, index: u32) -> [u8; 14] {
        let mut key = [0; 14];
        key[..10].copy_from_slice(&at(prefix, position));
        key[10..].copy_from_slice(&index.to_be_bytes());
        key
    }
}

/// Where the database level ends: `/*` namespace `*` database, and then the byte that says what follows.
const DATABASE_KIND: usize = 11;
/// Where a changefeed key's stamp begins.
const STAMP_AT: usize = DATABASE_KIND + 1;
/// Length of an encoded stamp: 16 hexadecimal digits, which need no escaping in a key.
pub(crate) const STAMP_BYTES: usize = 16;
/// Stands in a changefeed key until the entry's place in the log is known. Sorts behind every real stamp, so that a
/// transaction sees its own changes last.
pub(crate) const STAMP_PLACEHOLDER: &[u8; STAMP_BYTES] = b"zzzzzzzzzzzzzzzz";

/// Whether `key` is a changefeed key that waits for its stamp.
#[must_use]
pub fn is_changefeed_placeholder(key: &[u8]) -> bool {
    key.starts_with(b"/*")
        && matches!(key.get(DATABASE_KIND), Some(b'#' | b'%'))
        && key.get(STAMP_AT..STAMP_AT + STAMP_BYTES) == Some(STAMP_PLACEHOLDER.as_slice())
}

/// Writes `stamp` into a key for which [`is_changefeed_placeholder`] holds; other keys are left alone.
pub fn place_stamp(key: &mut [u8], stamp: u64) {
    if let Some(place) = key.get_mut(STAMP_AT..STAMP_AT + STAMP_BYTES) {
        place.copy_from_slice(&stamp_digits(stamp));
    }
}

/// The 16 digits that stand for `stamp` in a key; they sort as the numbers do.
pub(crate) fn stamp_digits(stamp: u64) -> [u8; STAMP_BYTES] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [b'0'; STAMP_BYTES];
    for (place, digit) in digits.iter_mut().enumerate() {
        let nibble = (stamp >> (60 - 4 * place)) & 0xf;
        *digit = DIGITS.get(nibble as usize).copied().unwrap_or(b'0');
    }
    digits
}

/// Whether `key` is an entry of an index.
#[must_use]
pub fn is_index_entry(key: &[u8]) -> bool {
    // Four bytes of id, then the kind.
    under_table(key).is_some_and(|found| found.rest.starts_with(b"+") && found.rest.get(5) == Some(&b'*'))
}

/// Whether a plain read of `key` (or of a range that starts there) shows something that a user can observe, and so has
/// to be certified in a serializable group.
///
/// Records, edges, references, index entries and definitions are. SurrealDB's bookkeeping is not (node heartbeats, task
/// leases, id windows, queues, build state, statistics, vector graphs): it is guarded by locked reads and conditional
/// writes, which are always certified, and certifying its plain reads as well would only breed aborts. What is not
/// recognised counts as observable. `KEYSPACE.md` says it for every key, and why.
pub(crate) fn is_observable(key: &[u8]) -> bool {
    match key {
        [b'/', b'*', rest @ ..] => match rest.get(4..) {
            Some([b'!', kind @ ..]) => !matches!(kind, [b'd', b'h' | b'i', ..]),
            Some([b'*', database @ ..]) => match database.get(4..) {
                // A sequence's definition is rewritten unchanged whenever a copy claims numbers from it, on purpose.
                Some([b'!', kind @ ..]) => {
                    !matches!(kind, [b't', b'h' | b'i', ..] | [b's', b'd' | b'q', ..] | [b'c', b'f', ..])
                }
                Some([b'*', ..]) => under_table(key).is_none_or(|found| table_level_is_observable(found.rest)),
                _ => true,
            },
            _ => true,
        },
        [b'/', b'!', kind @ ..] => {
            matches!(kind, [b'n', b's', ..] | [b'u', b's', ..] | [b'a', b'c', ..] | [b'c', b'g', ..])
        }
        [b'/', b'$', ..] | [b'!', ..] => false,
        [reserved::PREFIX, ..] => false,
        _ => true,
    }
}

/// As [`is_observable`], for what follows the table's name.
fn table_level_is_observable(rest: &[u8]) -> bool {
    match rest {
        // A record's edges and references are read from the sets kept beside it (`!ce`, `!cr`) where there are any.
        [b'!', kind @ ..] => {
            matches!(
                kind,
                [b'e', b'v', ..]
                    | [b'f', b'd' | b't', ..]
                    | [b'i', b'l' | b'x', ..]
                    | [b'l', b'q', ..]
                    | [b'c', b'e' | b'r', ..]
                    | []
            )
        }
        // An index: four bytes of id, then `*` for its entries or `!` for what the index keeps for itself. Of that, a query
        // answers from the documents of a term (`!td`) and what changed in them since (`!tx`), and from the deltas of a
        // counting index.
        [b'+', index @ ..] => match index.get(4..) {
            Some([b'!', kind @ ..]) => matches!(kind, [b't', b'd' | b'x', ..] | [b'i', b'u', ..]),
            _ => true,
        },
        _ => true,
    }
}

/// A range of keys: start inclusive, end exclusive.
pub(crate) type Range = (Vec<u8>, Vec<u8>);

/// A key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnderTable<'a> {
    /// The key as far as the table's name, with the zero byte that ends it.
    pub table: &'a [u8],
    /// What follows.
    pub rest: &'a [u8],
}

/// Takes the key of a table apart; none for any other key.
pub(crate) fn under_table(key: &[u8]) -> Option<UnderTable<'_>> {
    if !key.starts_with(b"/*") || key.get(DATABASE_KIND) != Some(&b'*') {
        return None;
    }
    let name = key.get(DATABASE_KIND + 1..)?;
    let name_end = DATABASE_KIND + 1 + name.iter().position(|byte| *byte == 0)?;
    let (table, rest) = key.split_at_checked(name_end + 1)?;
    Some(UnderTable { table, rest })
}

impl UnderTable<'_> {
    /// The table's records.
    pub fn records(&self) -> Range {
        ([self.table, b"*"].concat(), [self.table, b"+"].concat())
    }

    /// Where the table is defined.
    pub fn definition(&self) -> Vec<u8> {
        let (database, name) = self.table.split_at(DATABASE_KIND);
        [database, b"!tb", name.get(1..).unwrap_or_default()].concat()
    }

    /// The index whose number this key gives a name, which SurrealDB writes when an index is defined: the table and the
    /// number. None for any other key.
    pub fn named_index(&self) -> Option<Vec<u8>> {
        match self.rest {
            [b'!', b'i', b'l', index @ ..] => Some([self.table, index].concat()),
            _ => None,
        }
    }

    /// The index whose build this key keeps the state of, as [`Self::named_index`] has it.
    pub fn index_in_build(&self) -> Option<Vec<u8>> {
        match self.rest {
            [b'!', b'b', b's', index @ ..] => Some([self.table, index].concat()),
            _ => None,
        }
    }

    /// The index whose builder this key gives a first ticket, as it is written when a build begins.
    pub fn index_begun(&self) -> Option<Vec<u8>> {
        match self.rest {
            [b'!', b'b', b't', index @ ..] => Some([self.table, index.get(..4)?].concat()),
            _ => None,
        }
    }
}

/// Everything under the table that `key` defines; none for any other key.
pub(crate) fn under_definition(key: &[u8]) -> Option<Range> {
    let (database, name) = key.split_at_checked(DATABASE_KIND)?;
    let name = name.strip_prefix(b"!tb").filter(|_| database.starts_with(b"/*"))?;
    let start = [database, b"*", name].concat();
    let mut end = start.clone();
    // A name ends with a zero byte.
    *end.last_mut()? = 1;
    Some((start, end))
}

#[cfg(test)]
mod table;

#[cfg(test)]
mod tests;
