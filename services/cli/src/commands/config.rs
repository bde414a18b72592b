//! `holdfast config print`: the settings in force.

use crate::{client, error::CliError, output};

/// Prints what this command would use, as TOML with secrets hidden.
///
/// # Errors
/// A setting is wrong, or standard output is closed.
pub fn print() -> Result<(), CliError> {
    output::line(client::settings()?.printable.trim_end())
}
