//! Operations as SurrealQL, one statement each, and results as observations.

use std::fmt::Write;

use serde_json::Value;

use super::{Observation, Operation};

/// What must be defined before operations can run.
pub const SCHEMA: &str = "DEFINE TABLE IF NOT EXISTS list; DEFINE TABLE IF NOT EXISTS counter; \
    DEFINE TABLE IF NOT EXISTS row; DEFINE TABLE IF NOT EXISTS blob; DEFINE TABLE IF NOT EXISTS claim; \
    DEFINE INDEX IF NOT EXISTS name ON claim FIELDS name UNIQUE;";

/// How much one `Fill` writes: what two of them make, though it is compressed, is more than a message of the log takes.
pub const FILLING_CHARACTERS: u64 = CHUNKS * CHUNK_CHARACTERS;
const CHUNKS: u64 = 10;
/// Most that SurrealDB makes at a time is a little more.
const CHUNK_CHARACTERS: u64 = 60_000;

/// The statements of a transaction.
pub fn encode(operations: &[Operation]) -> String {
    operations.iter().map(|operation| statement(operation) + ";").collect::<Vec<_>>().join("\n")
}

fn statement(operation: &Operation) -> String {
    match operation {
        Operation::Append { list, value } => {
            format!("UPSERT list:{list} SET items = array::append(items ?? [], {value}) RETURN BEFORE")
        }
        Operation::Add { counter, amount } => {
            format!("UPSERT counter:{counter} SET number = (number ?? 0) + ({amount}) RETURN BEFORE")
        }
        Operation::ReadList { list } => format!("SELECT items FROM list:{list}"),
        Operation::ReadCounter { counter } => format!("SELECT number FROM counter:{counter}"),
        Operation::Put { row, number } => format!("UPSERT row:{row} SET number = {number} RETURN BEFORE"),
        Operation::Delete { row } => format!("DELETE row:{row} RETURN BEFORE"),
        Operation::ReadRow { row } => format!("SELECT number, mark FROM row:{row}"),
        Operation::Scan { from, until } => format!("SELECT VALUE record::id(id) FROM row:{from}..{until}"),
        Operation::Find { from, until } => {
            format!("SELECT VALUE record::id(id) FROM row WHERE number >= {from} AND number < {until}")
        }
        Operation::CountRows => "SELECT VALUE count FROM (SELECT count() FROM row GROUP ALL)".to_owned(),
        Operation::Mark(Some(mark)) => format!("DEFINE FIELD OVERWRITE mark ON row VALUE {mark}"),
        Operation::Mark(None) => "REMOVE FIELD IF EXISTS mark ON row".to_owned(),
        Operation::Index(true) => "DEFINE INDEX IF NOT EXISTS number ON row FIELDS number".to_owned(),
        Operation::Index(false) => "REMOVE INDEX IF EXISTS number ON row".to_owned(),
        Operation::Claim { name, holder } => {
            format!("CREATE claim:{holder} SET name = '{name}', holder = {holder} RETURN NONE")
        }
        Operation::Release { name } => format!("DELETE claim WHERE name = '{name}' RETURN BEFORE"),
        Operation::ReadClaim { name } => format!("SELECT VALUE holder FROM claim WHERE name = '{name}'"),
        Operation::Fill { blob, value } => fill(blob, *value),
        Operation::ReadBlob { blob } => format!("SELECT number, string::len(text) AS length FROM blob:{blob}"),
        Operation::Throw => "THROW 'on purpose'".to_owned(),
    }
}

/// The text is random, because the log compresses.
fn fill(blob: &str, value: u64) -> String {
    let mut sql = format!(
        "RETURN {{ LET $was = (SELECT number, string::len(text) AS length FROM blob:{blob}); \
         UPSERT blob:{blob} SET number = {value}, text = string::concat("
    );
    for chunk in 0..CHUNKS {
        let comma = if chunk == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(sql, "{comma}rand::string({CHUNK_CHARACTERS})");
    }
    sql + ") RETURN NONE; $was }"
}

/// What each operation saw, from the results of its statement.
pub fn decode(operations: &[Operation], results: &[Value]) -> anyhow::Result<Vec<Observation>> {
    anyhow::ensure!(operations.len() == results.len(), "{} results for {operations:?}", results.len());
    operations.iter().zip(results).map(|(operation, result)| observation(operation, result)).collect()
}

fn observation(operation: &Operation, result: &Value) -> anyhow::Result<Observation> {
    let odd = || anyhow::anyhow!("{operation:?} gave {result}");
    let number = |value: &Value| value.as_u64().ok_or_else(odd);
    if matches!(operation, Operation::Mark(_) | Operation::Index(_)) {
        return Ok(Observation::List(Vec::new()));
    }
    let rows = result.as_array().ok_or_else(odd)?;
    let row = rows.first().unwrap_or(&Value::Null);
    // What a row holds in these fields, if there is a row; a field that is not there is 0.
    let fields = |names: &[&str]| -> anyhow::Result<Observation> {
        let values = names.iter().filter(|_| !row.is_null()).map(|name| match &row[*name] {
            Value::Null => Ok(0),
            value => number(value),
        });
        Ok(Observation::List(values.collect::<anyhow::Result<_>>()?))
    };
    match operation {
        Operation::Add { .. } | Operation::ReadCounter { .. } => match &row["number"] {
            Value::Null => Ok(Observation::Number(0)),
            value => Ok(Observation::Number(value.as_i64().ok_or_else(odd)?)),
        },
        Operation::CountRows => Ok(Observation::Number(row.as_i64().unwrap_or(0))),
        Operation::Append { .. } | Operation::ReadList { .. } => match &row["items"] {
            Value::Null => Ok(Observation::List(Vec::new())),
            items => Ok(Observation::List(serde_json::from_value(items.clone())?)),
        },
        Operation::Put { .. } | Operation::Delete { .. } | Operation::ReadRow { .. } => fields(&["number", "mark"]),
        Operation::Fill { .. } | Operation::ReadBlob { .. } => fields(&["number", "length"]),
        Operation::Release { .. } => fields(&["holder"]),
        _ => {
            let mut values = rows.iter().map(number).collect::<anyhow::Result<Vec<_>>>()?;
            values.sort_unstable();
            Ok(Observation::List(values))
        }
    }
}
