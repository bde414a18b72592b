//! Walks over SurrealQL text and tells code from strings, names, regular expressions and comments.
//!
//! Cutting a file at its semicolons goes wrong at the first `'a;b'`. This walker knows just enough of the language to be
//! trusted with that: which bytes are code, and how deep in brackets they stand. It does not parse; SurrealDB does that.

use thiserror::Error;

/// A byte of code, or a whole string, quoted name or regular expression; never a blank or a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Where it stands in the text.
    pub offset: usize,
    /// Where it ends: one further, or behind the closing mark of a quoted part.
    pub end: usize,
    /// The byte; of a quoted part, its first byte.
    pub byte: u8,
    /// How many brackets are open around it. A bracket counts as standing outside of itself.
    pub depth: usize,
}

/// The text cannot be cut into statements.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LexError {
    /// A string, quoted name or block comment is still open at the end.
    #[error("{what} that begins in line {line} does not end: close it and try again")]
    Unclosed {
        /// What is open.
        what: &'static str,
        /// Where it begins, counted from one.
        line: usize,
    },
    /// A bracket is closed that was not opened, or is still open at the end.
    #[error("the bracket `{bracket}` in line {line} has no partner: add or remove one and try again")]
    Unbalanced {
        /// The bracket.
        bracket: char,
        /// Where it stands, counted from one.
        line: usize,
    },
}

/// Yields the code in the text, in order.
pub struct Lexer<'a> {
    text: &'a [u8],
    position: usize,
    open: Vec<(u8, usize)>,
    before: Before,
    failed: bool,
}

/// What stood before a `/`: after a value it divides, elsewhere it opens a regular expression.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    Value,
    Word { start: usize, end: usize },
}

/// Words after which a value follows, so that `/` after them opens a regular expression.
const VALUE_FOLLOWS: [&str; 22] = [
    "and",
    "or",
    "is",
    "in",
    "not",
    "inside",
    "notinside",
    "contains",
    "containsnot",
    "matches",
    "where",
    "assert",
    "value",
    "default",
    "return",
    "then",
    "else",
    "if",
    "when",
    "select",
    "set",
    "content",
];

impl<'a> Lexer<'a> {
    /// A walker at the beginning of the text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text: text.as_bytes(), position: 0, open: Vec::new(), before: Before::Nothing, failed: false }
    }

    /// The line of an offset, counted from one.
    #[must_use]
    pub fn line(&self, offset: usize) -> usize {
        1 + self.text.iter().take(offset).filter(|byte| **byte == b'\n').count()
    }

    fn at(&self, offset: usize) -> Option<u8> {
        self.text.get(offset).copied()
    }

    fn looking_at(&self, pattern: &[u8]) -> bool {
        self.text.get(self.position..).is_some_and(|rest| rest.starts_with(pattern))
    }

    /// Moves over blanks and comments.
    fn skip_space(&mut self) -> Result<(), LexError> {
        loop {
            match self.at(self.position) {
                Some(byte) if byte.is_ascii_whitespace() => self.position += 1,
                Some(b'#') => self.skip_line(),
                Some(b'-') if self.looking_at(b"--") => self.skip_line(),
                Some(b'/') if self.looking_at(b"//") => self.skip_line(),
                Some(b'/') if self.looking_at(b"/*") => self.skip_block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.at(self.position).is_some_and(|byte| byte != b'\n') {
            self.position += 1;
        }
    }

    fn skip_block_comment(&mut self) -> Result<(), LexError> {
        let start = self.position;
        self.position += 2;
        while !self.looking_at(b"*/") {
            if self.position >= self.text.len() {
                return Err(LexError::Unclosed { what: "a comment", line: self.line(start) });
            }
            self.position += 1;
        }
        self.position += 2;
        Ok(())
    }

    /// Moves over a quoted part up to its closing mark; a backslash protects the byte behind it.
    fn skip_quoted(&mut self, opening: usize, closing: &[u8], what: &'static str) -> Result<(), LexError> {
        let start = self.position;
        self.position += opening;
        while !self.looking_at(closing) {
            match self.at(self.position) {
                None => return Err(LexError::Unclosed { what, line: self.line(start) }),
                Some(b'\\') => self.position += 2,
                Some(_) => self.position += 1,
            }
        }
        self.position += closing.len();
        Ok(())
    }

    /// A slash opens a regular expression where a value is expected and it is closed in the same line.
    fn opens_regex(&self) -> bool {
        let expected = match self.before {
            Before::Nothing => true,
            Before::Value => false,
            Before::Word { start, end } => self
                .text
                .get(start..end)
                .is_some_and(|word| VALUE_FOLLOWS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))),
        };
        expected && self.closes_in_line()
    }

    fn closes_in_line(&self) -> bool {
        let mut offset = self.position + 1;
        while let Some(byte) = self.at(offset) {
            match byte {
                b'\n' => return false,
                b'/' => return true,
                b'\\' => offset += 2,
                _ => offset += 1,
            }
        }
        false
    }

    /// One step over code. A quoted part is passed whole and counts as a value.
    fn step(&mut self, byte: u8) -> Result<(), LexError> {
        match byte {
            b'\'' => self.skip_quoted(1, b"'", "a string")?,
            b'"' => self.skip_quoted(1, b"\"", "a string")?,
            b'`' => self.skip_quoted(1, b"`", "a quoted name")?,
            _ if self.looking_at("⟨".as_bytes()) => {
                self.skip_quoted("⟨".len(), "⟩".as_bytes(), "a quoted name")?;
            }
            b'/' if self.opens_regex() => self.skip_quoted(1, b"/", "a regular expression")?,
            _ => return self.step_plain(byte),
        }
        self.before = Before::Value;
        Ok(())
    }

    fn step_plain(&mut self, byte: u8) -> Result<(), LexError> {
        let start = self.position;
        self.position += 1;
        match byte {
            b'(' | b'[' | b'{' => self.open.push((byte, start)),
            b')' | b']' | b'}' => self.close(byte, start)?,
            _ => {}
        }
        let part_of_word = byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
        self.before = match (byte, self.before) {
            (_, Before::Word { start: first, end }) if part_of_word && end == start => {
                Before::Word { start: first, end: self.position }
            }
            _ if part_of_word => Before::Word { start, end: self.position },
            (b')' | b']' | b'}', _) => Before::Value,
            _ => Before::Nothing,
        };
        Ok(())
    }

    fn close(&mut self, byte: u8, offset: usize) -> Result<(), LexError> {
        let partner = match byte {
            b')' => b'(',
            b']' => b'[',
            _ => b'{',
        };
        match self.open.pop() {
            Some((opened, _)) if opened == partner => Ok(()),
            Some((opened, at)) => Err(self.unbalanced(opened, at)),
            None => Err(self.unbalanced(byte, offset)),
        }
    }

    fn unbalanced(&self, bracket: u8, offset: usize) -> LexError {
        LexError::Unbalanced { bracket: char::from(bracket), line: self.line(offset) }
    }

    fn advance(&mut self) -> Result<Option<Code>, LexError> {
        self.skip_space()?;
        let Some(byte) = self.at(self.position) else {
            return match self.open.pop() {
                Some((bracket, offset)) => Err(self.unbalanced(bracket, offset)),
                None => Ok(None),
            };
        };
        let (offset, depth_before) = (self.position, self.open.len());
        self.step(byte)?;
        Ok(Some(Code { offset, end: self.position, byte, depth: depth_before.min(self.open.len()) }))
    }
}

impl Iterator for Lexer<'_> {
    type Item = Result<Code, LexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.advance().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}
