//! JSON in and out, by SurrealDB's own conversion: the one that its HTTP endpoint uses for `application/json`.

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

/// The results of all statements as one JSON array.
pub(crate) fn results(values: Vec<Value>) -> Result<Bytes, serde_json::Error> {
    let mut json = Vec::with_capacity(128);
    json.push(b'[');
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        serde_json::to_writer(&mut json, &value.into_json_value())?;
    }
    json.push(b']');
    Ok(Bytes::from(json))
}
