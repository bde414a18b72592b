//! The command line of a service. A service takes its settings from a file and from the environment; what it does not know is
//! refused, so that nobody starts one by asking for its manual.

/// Exit code where the command line cannot be used, as shells have it.
pub const EXIT_USAGE: u8 = 2;

/// What the process is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To do its work.
    Work,
    /// To print the settings that are in force.
    PrintConfiguration,
    /// To print how it is used.
    Help,
    /// To print its version.
    Version,
}

/// It is not known what is wanted: start it with `--help`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{argument} is not known, and nothing was started: --help tells what is")]
pub struct UnknownArgument {
    argument: String,
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// One of them is not known.
pub fn read(arguments: impl Iterator<Item = String>) -> Result<Asked, UnknownArgument> {
    let mut asked = Asked::Work;
    for argument in arguments {
        asked = match argument.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--version" | "-V" => return Ok(Asked::Version),
            "--print-config" => Asked::PrintConfiguration,
            _ => return Err(UnknownArgument { argument }),
        };
    }
    Ok(asked)
}

/// How the service is used.
#[must_use]
pub fn help(service: &str) -> String {
    let section = service.to_uppercase();
    format!(
        "holdfast-{service}: a service of Holdfast. It runs until SIGINT or SIGTERM.\n\n\
         Usage: holdfast-{service} [--print-config | --version | --help]\n\n\
         Settings come from holdfast.toml in the current folder (or the file that HOLDFAST_CONFIG names), and from the environment,\n\
         as HOLDFAST_{section}__<FIELD>. --print-config prints what is in force, as such a file."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Result<Asked, UnknownArgument> {
        read(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn only_what_is_known_starts_a_service() {
        assert_eq!(asked(&[]), Ok(Asked::Work));
        assert_eq!(asked(&["--print-config"]), Ok(Asked::PrintConfiguration));
        assert_eq!(asked(&["--print-config", "--help"]), Ok(Asked::Help));
        assert_eq!(asked(&["-V"]), Ok(Asked::Version));
        for unknown in [&["--bogus"][..], &["--print-config", "-c"], &["start"]] {
            assert!(asked(unknown).unwrap_err().to_string().contains("nothing was started"), "{unknown:?}");
        }
    }
}
