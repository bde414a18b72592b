//! JSON in and out, by SurrealDB's own conversion: the one that its HTTP endpoint uses for `application/json`.

use std::io::{self, Write};

use bytes::Bytes;
use serde_json::{Map, Value as Json};
use surrealdb_core::rpc::format::json::json_to_value;
use surrealdb_types::{Value, Variables};

/// The variables of a request. A JSON string stays a string, as it does over HTTP, and a whole number that is too large
/// for SurrealDB's integers becomes a decimal, not a float that has lost its last digits.
pub(crate) fn variables(vars: Map<String, Json>) -> Option<Variables> {
    (!vars.is_empty()).then(|| vars.into_iter().map(|(name, value)| (name, json_to_value(value))).collect())
}

/// One value as JSON text.
pub(crate) fn json(value: Value) -> Bytes {
    Bytes::from(value.into_json_value().to_string())
}

/// The results of all statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Results {
    /// One JSON array.
    Json(Bytes),
    /// It would have more bytes than it may: so many, or more.
    TooLarge { bytes: usize },
}

/// The results of all statements as one JSON array of at most `bytes_max` bytes.
pub(crate) fn results(values: Vec<Value>, bytes_max: usize) -> Result<Results, serde_json::Error> {
    let mut json = Bounded { bytes: Vec::with_capacity(128), length: 0, bytes_max };
    match write_list(&mut json, values) {
        Err(_) if json.is_above() => Ok(Results::TooLarge { bytes: json.length }),
        Err(cause) => Err(cause),
        Ok(()) if json.is_above() => Ok(Results::TooLarge { bytes: json.length }),
        Ok(()) => Ok(Results::Json(Bytes::from(json.bytes))),
    }
}

/// Item by item, so that the values and their JSON are not there twice.
fn write_list(json: &mut Bounded, values: Vec<Value>) -> Result<(), serde_json::Error> {
    let comma = |index| if index > 0 { b",".as_slice() } else { b"" };
    json.write_all(b"[").map_err(serde_json::Error::io)?;
    for (index, value) in values.into_iter().enumerate() {
        json.write_all(comma(index)).map_err(serde_json::Error::io)?;
        match value {
            Value::Array(items) => write_list(json, items.into_inner())?,
            value => serde_json::to_writer(&mut *json, &value.into_json_value())?,
        }
    }
    json.write_all(b"]").map_err(serde_json::Error::io)
}

/// Bytes up to a bound. Above it they are counted for a while, to tell how far above, and not kept.
struct Bounded {
    bytes: Vec<u8>,
    length: usize,
    bytes_max: usize,
}

/// So many times the bound are counted.
const COUNTED: usize = 64;

impl Bounded {
    fn is_above(&self) -> bool {
        self.length > self.bytes_max
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len();
        if !self.is_above() {
            self.bytes.extend_from_slice(bytes);
        } else if self.length > self.bytes_max.saturating_mul(COUNTED) {
            return Err(io::Error::other("far above the bound"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
