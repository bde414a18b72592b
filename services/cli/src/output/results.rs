//! Shows the results of statements to a person: rows as a table, anything else as indented JSON.

use serde_json::{Map, Value};

use super::table::{grouped, table};

/// All results, one after another; a single one needs no heading.
#[must_use]
pub fn human(results: &[Value]) -> String {
    let single = results.len() == 1;
    let parts = results.iter().enumerate().map(|(index, value)| {
        let text = one(value);
        if single { text } else { format!("statement {}\n{text}", index + 1) }
    });
    parts.collect::<Vec<_>>().join("\n\n")
}

/// How many rows the results hold, in words.
#[must_use]
pub fn rows(results: &[Value]) -> String {
    let count: usize = results.iter().map(|value| value.as_array().map_or(1, Vec::len)).sum();
    let noun = if count == 1 { "row" } else { "rows" };
    format!("{} {noun}", grouped(count as u64))
}

fn one(value: &Value) -> String {
    match value {
        Value::Array(rows) if rows.is_empty() => "(no rows)".to_owned(),
        Value::Array(rows) => as_rows(rows).map_or_else(|| indented(value), |rows| rows_table(&rows)),
        _ => indented(value),
    }
}

fn as_rows(rows: &[Value]) -> Option<Vec<&Map<String, Value>>> {
    rows.iter().map(Value::as_object).collect()
}

fn rows_table(rows: &[&Map<String, Value>]) -> String {
    let columns = columns(rows);
    let mut shown = table(&columns);
    for row in rows {
        shown.add_row(columns.iter().map(|column| row.get(*column).map(cell).unwrap_or_default()));
    }
    shown.to_string()
}

/// The union of the rows' fields in the order of their first appearance, the record's id first.
fn columns<'a>(rows: &[&'a Map<String, Value>]) -> Vec<&'a str> {
    let mut columns: Vec<&str> = Vec::new();
    for key in rows.iter().flat_map(|row| row.keys()) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    columns.sort_by_key(|column| *column != "id");
    columns
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    }
}

fn indented(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_else(|_| other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{human, rows};

    #[test]
    fn rows_become_a_table_with_the_id_first() {
        let text = human(&[json!([{"born": 1815, "id": "person:ada"}, {"id": "person:alan", "tags": ["a", 1]}])]);
        let head = text.lines().find(|line| line.contains("born")).unwrap();
        assert!(head.find("id") < head.find("born") && head.contains("tags"), "{text}");
        assert!(text.contains("person:ada") && text.contains(r#"["a",1]"#), "{text}");
        assert!(!text.contains("statement"), "{text}");
    }

    #[test]
    fn several_results_are_told_apart_and_scalars_shown_as_they_are() {
        let text = human(&[json!(3), json!([]), json!([1, 2]), json!("text")]);
        assert!(text.contains("statement 1\n3") && text.contains("statement 2\n(no rows)"), "{text}");
        assert!(text.ends_with("statement 4\ntext"), "{text}");
    }

    #[test]
    fn rows_are_counted() {
        assert_eq!(rows(&[json!([1, 2])]), "2 rows");
        assert_eq!(rows(&[json!(1)]), "1 row");
    }
}
