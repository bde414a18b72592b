//! Operations as SurrealQL, one statement each, and results as observations.

use serde_json::Value;

use super::{Observation, Operation};

/// What must be defined before operations can run.
pub const SCHEMA: &str = "DEFINE TABLE IF NOT EXISTS list; DEFINE TABLE IF NOT EXISTS counter;";

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
        Operation::CountLists => "SELECT VALUE id FROM list".to_owned(),
    }
}

/// What each operation saw, from the results of its statement.
pub fn decode(operations: &[Operation], results: &[Value]) -> anyhow::Result<Vec<Observation>> {
    anyhow::ensure!(operations.len() == results.len(), "{} results for {operations:?}", results.len());
    operations.iter().zip(results).map(|(operation, result)| observation(operation, result)).collect()
}

fn observation(operation: &Operation, result: &Value) -> anyhow::Result<Observation> {
    let rows = result.as_array().ok_or_else(|| anyhow::anyhow!("{operation:?} gave {result}"))?;
    let row = rows.first().unwrap_or(&Value::Null);
    Ok(match operation {
        Operation::CountLists => Observation::Number(i64::try_from(rows.len())?),
        Operation::Add { .. } | Operation::ReadCounter { .. } => match &row["number"] {
            Value::Null => Observation::Number(0),
            number => Observation::Number(number.as_i64().ok_or_else(|| anyhow::anyhow!("odd number in {row}"))?),
        },
        Operation::Append { .. } | Operation::ReadList { .. } => match &row["items"] {
            Value::Null => Observation::List(Vec::new()),
            items => Observation::List(serde_json::from_value(items.clone())?),
        },
    })
}
