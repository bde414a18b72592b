//! Where the SurrealQL of a request comes from: the command line, a file, or standard input.

use std::{
    fs,
    io::{IsTerminal, Read, stdin},
};

use serde_json::{Map, Value};

use crate::{arguments::Source, error::CliError};

/// The text.
///
/// # Errors
/// The file cannot be read, or there is nothing to send.
pub fn read(source: &Source) -> Result<String, CliError> {
    let text = match (&source.sql, &source.file) {
        (Some(sql), _) if sql != "-" => sql.clone(),
        (_, Some(path)) => fs::read_to_string(path).map_err(CliError::file("read", path))?,
        _ => read_standard_input()?,
    };
    if text.trim().is_empty() {
        return Err(CliError::Usage(
            "there is no SurrealQL to send: give it as an argument, with -f FILE, or on standard input".to_owned(),
        ));
    }
    Ok(text)
}

fn read_standard_input() -> Result<String, CliError> {
    if stdin().is_terminal() {
        eprintln!("reading SurrealQL from the terminal, Ctrl-D sends it");
    }
    let mut text = String::new();
    stdin().read_to_string(&mut text).map_err(CliError::file("read", "standard input"))?;
    Ok(text)
}

/// The parameters as the message carries them.
#[must_use]
pub fn variables(given: &[(String, Value)]) -> Option<Map<String, Value>> {
    (!given.is_empty()).then(|| given.iter().cloned().collect())
}
