//! Composes a SurrealQL file from definitions and records so that reading it back gives the same database.
//!
//! The order matters. Records go in before fields, events, indexes and views are defined, so that reading them back
//! computes, checks and triggers nothing a second time: tables are first defined bare, and fully once they are filled.

use serde::Deserialize;
use serde_json::Value;

/// What `INFO FOR DB` says of a database, sorted into what goes before the records and what goes behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Definitions that records may need: functions, params, analyzers, sequences, users, ...
    pub before: Vec<String>,
    /// The tables.
    pub tables: Vec<TableOutline>,
}

/// One table.
#[derive(Debug, PartialEq, Eq)]
pub struct TableOutline {
    /// Its name, as it is, without quotes.
    pub name: String,
    /// Its full definition.
    pub definition: String,
}

impl TableOutline {
    /// Records of a view are computed from other tables, so they are not written.
    #[must_use]
    pub fn is_view(&self) -> bool {
        code_has(&self.definition, &["AS", "SELECT"])
    }

    /// Whether its records are edges.
    #[must_use]
    pub fn is_relation(&self) -> bool {
        code_has(&self.definition, &["TYPE", "RELATION"])
    }

    /// The definition under which it is filled.
    #[must_use]
    pub fn bare(&self) -> String {
        let kind = if self.is_relation() { "RELATION" } else { "ANY" };
        format!("DEFINE TABLE OVERWRITE {} TYPE {kind} SCHEMALESS PERMISSIONS NONE;", quoted(&self.name))
    }

    /// The statements that write these records: edges are written as such, or nothing could be reached over them.
    #[must_use]
    pub fn inserts(&self, records: &[Record]) -> Vec<String> {
        let written = |edges: bool, words: &str| {
            let texts: Vec<&str> =
                records.iter().filter(|one| one.is_edge == edges).map(|one| one.text.as_str()).collect();
            (!texts.is_empty()).then(|| format!("{words} [\n{}\n];", texts.join(",\n")))
        };
        [written(false, "INSERT"), written(true, "INSERT RELATION")].into_iter().flatten().collect()
    }
}

/// One record as SurrealQL text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// All of it.
    pub text: String,
    /// Whether others are connected by it.
    #[serde(rename = "edge")]
    pub is_edge: bool,
}

/// Whether the words follow one another outside of quotes and brackets.
fn code_has(definition: &str, words: &[&str]) -> bool {
    let plain = plain_words(definition);
    plain.windows(words.len()).any(|some| some.iter().zip(words).all(|(a, b)| a.eq_ignore_ascii_case(b)))
}

fn plain_words(definition: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last_end = usize::MAX;
    for code in super::lexer::Lexer::new(definition).map_while(Result::ok).filter(|code| code.depth == 0) {
        let text = definition.get(code.offset..code.end).unwrap_or_default();
        match words.last_mut() {
            Some(word) if code.offset == last_end && text.len() == 1 => word.push_str(text),
            _ => words.push(text.to_owned()),
        }
        last_end = code.end;
    }
    words
}

/// Sorts the answer of `INFO FOR DB`.
#[must_use]
pub fn outline(info: &Value) -> Outline {
    let mut found = Outline::default();
    let Some(kinds) = info.as_object() else { return found };
    for (kind, definitions) in kinds {
        for (name, definition) in definitions.as_object().into_iter().flatten() {
            let Some(definition) = definition.as_str() else { continue };
            if kind == "tables" {
                found.tables.push(TableOutline { name: name.clone(), definition: definition.to_owned() });
            } else {
                found.before.push(overwriting(definition));
            }
        }
    }
    // Accesses and functions may name one another; analyzers and params come first so that they can be named.
    found.before.sort_by_key(|definition| (rank(definition), definition.clone()));
    found.tables.sort_by(|a, b| (a.is_view(), &a.name).cmp(&(b.is_view(), &b.name)));
    found
}

fn rank(definition: &str) -> u8 {
    match definition.split_whitespace().nth(1) {
        Some("FUNCTION") => 1,
        Some("ACCESS" | "USER" | "API" | "CONFIG") => 2,
        _ => 0,
    }
}

/// What `INFO FOR TABLE` says: everything that is defined once the table is filled.
#[must_use]
pub fn definitions_after(table: &TableOutline, info: &Value) -> Vec<String> {
    let mut after = vec![overwriting(&table.definition)];
    for kind in ["fields", "indexes", "events"] {
        let definitions = info.get(kind).and_then(Value::as_object);
        let texts = definitions.into_iter().flatten().filter_map(|(_, definition)| definition.as_str());
        after.extend(texts.map(overwriting));
    }
    after
}

/// `DEFINE X name` to `DEFINE X OVERWRITE name;`: some definitions exist already, made by others or by the bare table.
fn overwriting(definition: &str) -> String {
    let mut words = definition.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("DEFINE"), Some(kind), Some(rest)) if !rest.starts_with("OVERWRITE ") => {
            format!("DEFINE {kind} OVERWRITE {rest};")
        }
        _ => format!("{definition};"),
    }
}

/// A name in backticks where it needs them.
#[must_use]
pub fn quoted(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if plain { name.to_owned() } else { format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")) }
}

/// What stands behind the table's name in a record id: `1` of `person:1`.
#[must_use]
pub fn record_key(id: &str) -> Option<String> {
    let colon = super::lexer::Lexer::new(id).map_while(Result::ok).find(|code| code.byte == b':' && code.depth == 0)?;
    id.get(colon.end..).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{TableOutline, definitions_after, outline, quoted, record_key};

    fn table(definition: &str) -> TableOutline {
        TableOutline { name: "t".into(), definition: definition.into() }
    }

    #[test]
    fn tables_are_told_apart_by_their_definition_and_not_by_their_comments() {
        assert!(table("DEFINE TABLE t TYPE RELATION IN a OUT b SCHEMALESS PERMISSIONS NONE").is_relation());
        assert!(table("DEFINE TABLE t TYPE NORMAL AS SELECT count() FROM a GROUP ALL").is_view());
        let plain = table("DEFINE TABLE t TYPE NORMAL COMMENT 'AS SELECT TYPE RELATION'");
        assert!(!plain.is_relation() && !plain.is_view());
    }

    #[test]
    fn definitions_are_sorted_around_the_records() {
        let found = outline(&json!({
            "functions": {"f": "DEFINE FUNCTION fn::f() { RETURN 1; }"},
            "params": {"p": "DEFINE PARAM $p VALUE 1"},
            "tables": {"v": "DEFINE TABLE v TYPE NORMAL AS SELECT 1 FROM a", "z": "DEFINE TABLE z TYPE ANY"},
        }));
        assert_eq!(
            found.before,
            ["DEFINE PARAM OVERWRITE $p VALUE 1;", "DEFINE FUNCTION OVERWRITE fn::f() { RETURN 1; };"]
        );
        assert_eq!(found.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["z", "v"]);
        let after = definitions_after(
            &found.tables[0],
            &json!({"events": {"e": "DEFINE EVENT e ON z THEN 1"}, "fields": {"x": "DEFINE FIELD x ON z"}, "lives": {}}),
        );
        assert_eq!(
            after,
            [
                "DEFINE TABLE OVERWRITE z TYPE ANY;",
                "DEFINE FIELD OVERWRITE x ON z;",
                "DEFINE EVENT OVERWRITE e ON z THEN 1;"
            ]
        );
    }

    #[test]
    fn edges_are_written_as_edges() {
        let record = |id: &str, is_edge| super::Record { id: id.into(), text: format!("{{ id: {id} }}"), is_edge };
        let statements =
            table("DEFINE TABLE t").inserts(&[record("t:1", false), record("t:2", true), record("t:3", false)]);
        assert_eq!(statements, ["INSERT [\n{ id: t:1 },\n{ id: t:3 }\n];", "INSERT RELATION [\n{ id: t:2 }\n];"]);
    }

    #[test]
    fn the_key_of_a_record_is_found_behind_any_table_name() {
        assert_eq!(record_key("person:ada").as_deref(), Some("ada"));
        assert_eq!(record_key("⟨a:b⟩:[1, 'x:y']").as_deref(), Some("[1, 'x:y']"));
        assert_eq!(record_key("nothing"), None);
    }

    #[test]
    fn names_are_quoted_where_needed() {
        assert_eq!(quoted("person"), "person");
        assert_eq!(quoted("my table"), "`my table`");
        assert_eq!(quoted("a`b"), "`a\\`b`");
        assert_eq!(quoted("1st"), "`1st`");
    }
}
