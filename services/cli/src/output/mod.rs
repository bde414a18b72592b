//! What commands print: tables for people, JSON for programs. Results go to standard output, notices to standard error.

pub mod results;
pub mod table;

use std::borrow::Cow;
use std::io::{IsTerminal, Write, stdout};

use holdfast_schemas::Message;
use serde::Serialize;

use crate::error::CliError;

/// Who reads the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A person at a terminal.
    Person,
    /// A program.
    Program,
}

impl Reader {
    /// A program where JSON was asked for or standard output is not a terminal.
    #[must_use]
    pub fn detect(json: bool) -> Self {
        if json || !stdout().is_terminal() { Self::Program } else { Self::Person }
    }
}

/// Prints one JSON document.
///
/// # Errors
/// Standard output is closed or full.
pub fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string(value)
        .map_err(|error| CliError::Machine(format!("the answer cannot be shown ({error}): report this message")))?;
    line(&text)
}

/// Prints a message as it stands on the wire.
///
/// # Errors
/// Standard output is closed or full.
pub fn message<M: Message>(message: &M) -> Result<(), CliError> {
    line(&String::from_utf8_lossy(&message.encode()))
}

/// Prints one line.
///
/// # Errors
/// Standard output is closed or full.
pub fn line(text: &str) -> Result<(), CliError> {
    writeln!(stdout().lock(), "{text}").map_err(CliError::file("write to", "standard output"))
}

/// Says something to the person without mixing it into the result.
pub fn notice(text: &str) {
    // A closed standard error must not fail a command that did its work.
    let _ = writeln!(std::io::stderr().lock(), "{}", plain(text));
}

/// A text that does nothing to a terminal but be read. Errors quote what others wrote, and a terminal obeys some characters.
fn plain(text: &str) -> Cow<'_, str> {
    let is_order = |character: char| character.is_control() && character != '\n' && character != '\t';
    if !text.contains(is_order) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_order(character) { plain.extend(character.escape_default()) } else { plain.push(character) }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_text_of_somebody_else_gives_a_terminal_no_orders() {
        assert_eq!(plain("An error: \u{1b}[2Jx\r\u{9b}5n"), "An error: \\u{1b}[2Jx\\r\\u{9b}5n");
        assert_eq!(plain("two lines,\n\tand ümlauts"), "two lines,\n\tand ümlauts");
    }
}
