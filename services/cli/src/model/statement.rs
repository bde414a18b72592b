//! Cuts SurrealQL text into statements, and says of each the little that an import needs to know.
//!
//! Invariant, tested: the statements are slices of the text in order, what lies between them is blanks, comments and
//! the semicolons that end them, and cutting a statement again gives that one statement.

use super::lexer::{LexError, Lexer};

/// One statement, without the semicolon that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The text from its first to its last byte of code.
    pub text: &'a str,
    /// The line in which it begins, counted from one.
    pub line: usize,
    /// What kind it is.
    pub kind: Kind,
}

/// The kinds that an import treats specially.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Opens a transaction.
    Begin,
    /// Commits it.
    Commit,
    /// Gives it up.
    Cancel,
    /// Switches namespace or database.
    Use,
    /// Sets an option of the session, such as `OPTION IMPORT`.
    Option,
    /// Names a value that later statements of the same request can use.
    Let,
    /// Builds an index over the records that are there.
    Index,
    /// Everything else.
    Ordinary,
}

/// Cuts the text into statements.
///
/// # Errors
/// A string, quoted name, comment or bracket has no end: nothing behind it can be cut reliably.
pub fn split(text: &str) -> Result<Vec<Statement<'_>>, LexError> {
    let mut cutter = Cutter { text, statements: Vec::new(), line: 1, line_offset: 0 };
    let mut start = None;
    let mut end = 0;
    for code in Lexer::new(text) {
        let code = code?;
        if code.byte == b';' && code.depth == 0 {
            cutter.cut(start.take(), end);
        } else {
            start.get_or_insert(code.offset);
            end = code.end;
        }
    }
    cutter.cut(start, end);
    Ok(cutter.statements)
}

struct Cutter<'a> {
    text: &'a str,
    statements: Vec<Statement<'a>>,
    line: usize,
    line_offset: usize,
}

impl Cutter<'_> {
    /// Adds the statement that begins at `start`; an empty one (two semicolons in a row) is dropped.
    fn cut(&mut self, start: Option<usize>, end: usize) {
        let Some(start) = start else { return };
        let Some(text) = self.text.get(start..end) else { return };
        let between = self.text.as_bytes().get(self.line_offset..start).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        self.line_offset = start;
        self.statements.push(Statement { text, line: self.line, kind: kind(text) });
    }
}

fn kind(text: &str) -> Kind {
    let (first, rest) = next_word(text);
    match first.as_str() {
        "BEGIN" => Kind::Begin,
        "COMMIT" => Kind::Commit,
        "CANCEL" => Kind::Cancel,
        "USE" => Kind::Use,
        "OPTION" => Kind::Option,
        "LET" => Kind::Let,
        "DEFINE" if next_word(rest.trim_start()).0 == "INDEX" => Kind::Index,
        _ => Kind::Ordinary,
    }
}

/// The word at the beginning in capitals, and what follows it.
fn next_word(text: &str) -> (String, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word.to_ascii_uppercase(), rest)
}

/// Namespace and database that a `USE` statement switches to; `None` keeps the one before.
#[must_use]
pub fn use_target(text: &str) -> (Option<String>, Option<String>) {
    let mut words = text.split_whitespace().skip(1);
    let (mut ns, mut db) = (None, None);
    while let (Some(what), Some(name)) = (words.next(), words.next()) {
        let name = name.trim_matches(['`', '⟨', '⟩', '"', '\'']).to_owned();
        match what.to_ascii_uppercase().as_str() {
            "NS" | "NAMESPACE" => ns = Some(name),
            "DB" | "DATABASE" => db = Some(name),
            _ => {}
        }
    }
    (ns, db)
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
