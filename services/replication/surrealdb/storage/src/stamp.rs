//! Changefeed stamps.
//!
//! SurrealDB writes a stamp into changefeed keys at commit, before the order of the log is known. Shipped as it is, an
//! entry that is ordered later could carry a smaller stamp, and whoever polls `SHOW CHANGES SINCE` would miss it. So a
//! write transaction is given a placeholder, and every copy puts the same, ever growing stamp of the log in its place.
//! A stamp counts microseconds since 1970, which JavaScript's numbers still hold exactly.

use std::time::Duration;

use surrealdb_kvs::err::{Error, Result};
use surrealdb_kvs::timestamp::{BoxTimeStamp, MAX_TIMESTAMP_BYTES, TimeStamp, TimeStampImpl};

use crate::keyspace::{STAMP_BYTES, STAMP_PLACEHOLDER, stamp_digits};

/// A stamp of the log, in microseconds since 1970.
pub(crate) struct LogStamp(pub u64);

impl TimeStamp for LogStamp {
    fn as_versionstamp(&self) -> u128 {
        u128::from(self.0)
    }

    fn as_datetime(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        chrono::DateTime::from_timestamp_micros(i64::try_from(self.0).ok()?)
    }

    fn sub_checked(&self, duration: Duration) -> Option<BoxTimeStamp> {
        let micros = u64::try_from(duration.as_micros()).ok()?;
        Some(BoxTimeStamp::new(Self(self.0.checked_sub(micros)?)))
    }

    fn encode<'a>(&self, bytes: &'a mut [u8; MAX_TIMESTAMP_BYTES]) -> &'a [u8] {
        bytes[..STAMP_BYTES].copy_from_slice(&stamp_digits(self.0));
        &bytes[..STAMP_BYTES]
    }
}

/// The stamp of a transaction that has no place in the log yet. Encodes as the placeholder; everything else about it is
/// the given estimate, which SurrealDB uses only to reckon how far back its garbage reaches.
pub(crate) struct PendingStamp(pub u64);

impl TimeStamp for PendingStamp {
    fn as_versionstamp(&self) -> u128 {
        LogStamp(self.0).as_versionstamp()
    }

    fn as_datetime(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        LogStamp(self.0).as_datetime()
    }

    fn sub_checked(&self, duration: Duration) -> Option<BoxTimeStamp> {
        LogStamp(self.0).sub_checked(duration)
    }

    fn encode<'a>(&self, bytes: &'a mut [u8; MAX_TIMESTAMP_BYTES]) -> &'a [u8] {
        bytes[..STAMP_BYTES].copy_from_slice(STAMP_PLACEHOLDER);
        &bytes[..STAMP_BYTES]
    }
}

/// Makes and reads stamps for SurrealDB.
pub(crate) struct LogStamps;

impl TimeStampImpl for LogStamps {
    fn earliest(&self) -> BoxTimeStamp {
        BoxTimeStamp::new(LogStamp(0))
    }

    fn create_from_versionstamp(&self, version: u128) -> Option<BoxTimeStamp> {
        Some(BoxTimeStamp::new(LogStamp(u64::try_from(version).ok()?)))
    }

    fn create_from_datetime(&self, datetime: chrono::DateTime<chrono::Utc>) -> Option<BoxTimeStamp> {
        Some(BoxTimeStamp::new(LogStamp(u64::try_from(datetime.timestamp_micros()).ok()?)))
    }

    fn decode(&self, bytes: &[u8]) -> Result<BoxTimeStamp> {
        // A transaction that reads its own change finds the placeholder; it sorts, and so counts, as the latest.
        if bytes == STAMP_PLACEHOLDER {
            return Ok(BoxTimeStamp::new(LogStamp(u64::MAX)));
        }
        std::str::from_utf8(bytes)
            .ok()
            .filter(|digits| digits.len() == STAMP_BYTES)
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(|stamp| BoxTimeStamp::new(LogStamp(stamp)))
            .ok_or_else(|| Error::TimestampInvalid("a stamp is 16 hexadecimal digits".to_owned()))
    }
}
