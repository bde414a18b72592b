//! Examples, and properties over thousands of generated files.

use proptest::prelude::*;

use super::{Kind, Statement, split, use_target};
use crate::model::lexer::LexError;

fn texts(text: &str) -> Vec<&str> {
    split(text).unwrap().into_iter().map(|statement| statement.text).collect()
}

#[test]
fn semicolons_inside_of_anything_do_not_cut() {
    assert_eq!(texts("SELECT 1; SELECT 2"), ["SELECT 1", "SELECT 2"]);
    assert_eq!(texts("CREATE a SET x = 'b;c'; SELECT 2;"), ["CREATE a SET x = 'b;c'", "SELECT 2"]);
    assert_eq!(texts(r#"CREATE a SET x = "it\";s"; SELECT 2"#), [r#"CREATE a SET x = "it\";s""#, "SELECT 2"]);
    assert_eq!(texts("SELECT * FROM `a;b`; SELECT * FROM ⟨ä;ö⟩;"), ["SELECT * FROM `a;b`", "SELECT * FROM ⟨ä;ö⟩"]);
    assert_eq!(
        texts("FOR $i IN [1] { CREATE a; CREATE b; }; SELECT 1"),
        ["FOR $i IN [1] { CREATE a; CREATE b; }", "SELECT 1"]
    );
    assert_eq!(texts("RETURN (SELECT 1; 2); 3"), ["RETURN (SELECT 1; 2)", "3"]);
}

#[test]
fn comments_are_not_code() {
    assert_eq!(texts("-- a;b\nSELECT 1; // c;d\n# e';f\nSELECT /* ;' */ 2;"), ["SELECT 1", "SELECT /* ;' */ 2"]);
    assert_eq!(texts("SELECT 1 -- last"), ["SELECT 1"]);
    assert!(texts(" ;; -- nothing\n ; ").is_empty());
}

#[test]
fn a_slash_divides_or_opens_a_regular_expression() {
    assert_eq!(texts("RETURN 6 / 2; RETURN $a / $b"), ["RETURN 6 / 2", "RETURN $a / $b"]);
    assert_eq!(
        texts("DEFINE FIELD x ON y ASSERT $value = /[;'\\/]+/; SELECT 1"),
        ["DEFINE FIELD x ON y ASSERT $value = /[;'\\/]+/", "SELECT 1"]
    );
    assert_eq!(
        texts("SELECT * WHERE a IN /;/; SELECT (1) / 2; SELECT 3 / 4"),
        ["SELECT * WHERE a IN /;/", "SELECT (1) / 2", "SELECT 3 / 4"]
    );
}

#[test]
fn kinds_and_lines_are_found() {
    let text = "-- head\nbegin transaction;\n\nUSE NS a DB b; LET $x = 1;\nOPTION IMPORT;\nCOMMIT; beginning";
    let found: Vec<(Kind, usize)> = split(text).unwrap().iter().map(|s| (s.kind, s.line)).collect();
    assert_eq!(
        found,
        [(Kind::Begin, 2), (Kind::Use, 4), (Kind::Let, 4), (Kind::Option, 5), (Kind::Commit, 6), (Kind::Ordinary, 6)]
    );
}

#[test]
fn use_names_what_it_switches_to() {
    assert_eq!(use_target("USE NS a DB b"), (Some("a".into()), Some("b".into())));
    assert_eq!(use_target("use database `b`"), (None, Some("b".into())));
}

#[test]
fn what_has_no_end_is_named_with_its_line() {
    assert_eq!(split("SELECT 1;\n\nSELECT 'a"), Err(LexError::Unclosed { what: "a string", line: 3 }));
    assert_eq!(split("/* a"), Err(LexError::Unclosed { what: "a comment", line: 1 }));
    assert_eq!(split("CREATE a {\n"), Err(LexError::Unbalanced { bracket: '{', line: 1 }));
    assert_eq!(split("CREATE a }"), Err(LexError::Unbalanced { bracket: '}', line: 1 }));
    assert_eq!(split("(]"), Err(LexError::Unbalanced { bracket: '(', line: 1 }));
}

/// Pieces of which statements are made; none of them contains a semicolon that ends a statement.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "[0-9]{1,4}",
        r#"'([^'\\]|\\.){0,8}'"#,
        r#""([^"\\]|\\.){0,8}""#,
        "`[^`\\\\]{0,8}`",
        "⟨[^⟩\\\\]{0,8}⟩",
        "\\{ [a-z]{1,4}; [a-z]{1,4} \\}",
        "\\(\\[[a-z]{0,4}\\], '\\)'\\)",
        Just("/* ; ' */ x".to_owned()),
        Just("-- ; '\n x".to_owned()),
        Just("= /a;b/ x".to_owned()),
        Just("->".to_owned()),
    ]
}

fn statement() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 1..8).prop_map(|pieces| format!("x {}", pieces.join(" ")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn joined_statements_come_apart_again(
        statements in prop::collection::vec(statement(), 0..10),
        between in prop_oneof![Just(";"), Just(" ;\n"), Just("; -- it's;\n"), Just(";/* ' */;")],
    ) {
        let text = statements.join(between);
        let found = split(&text).unwrap();
        prop_assert_eq!(found.iter().map(|s| s.text).collect::<Vec<_>>(), statements);
    }

    #[test]
    fn any_text_is_cut_into_slices_in_order_or_refused(text in r#"[a-z;'"`{}()\[\]/*#\\ \n⟨⟩-]{0,60}"#) {
        let Ok(found) = split(&text) else { return Ok(()) };
        let mut rest = text.as_str();
        for Statement { text: part, .. } in found {
            let at = rest.find(part);
            prop_assert!(at.is_some());
            rest = &rest[at.unwrap() + part.len()..];
            prop_assert_eq!(split(part).unwrap().iter().map(|s| s.text).collect::<Vec<_>>(), [part]);
        }
    }
}
