//! A wrong wall clock that tests ask for: `HOLDFAST_FAULT_CLOCK` names a file that holds by how many milliseconds the clock
//! of this process is ahead, and that may change while it runs. Refused unless a second variable says that it is meant: no
//! deployment can fall into this by one wrong setting. Time that only grows is never touched, as with a real step.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A wrong clock was asked for without the second variable.
#[derive(Debug, thiserror::Error)]
#[error("HOLDFAST_FAULT_CLOCK is refused: wrong clocks are for tests, with HOLDFAST_FAULT_INJECTION=1")]
pub struct ClockFaultRefused;

/// Where it is said how wrong the clock is; none where it is right.
///
/// # Errors
/// When a wrong clock is asked for and not allowed.
pub fn asked(variable: impl Fn(&str) -> Option<String>) -> Result<Option<PathBuf>, ClockFaultRefused> {
    match (variable("HOLDFAST_FAULT_CLOCK"), variable("HOLDFAST_FAULT_INJECTION").as_deref()) {
        (None, _) => Ok(None),
        (Some(file), Some("1")) => Ok(Some(file.into())),
        (Some(_), _) => Err(ClockFaultRefused),
    }
}

/// The same, of this process.
///
/// # Errors
/// When a wrong clock is asked for and not allowed.
pub fn asked_of_process() -> Result<Option<PathBuf>, ClockFaultRefused> {
    asked(|name| std::env::var(name).ok())
}

/// By how many milliseconds the clock of this process is ahead.
pub(super) fn of_process() -> i64 {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    FILE.get_or_init(|| asked_of_process().unwrap_or_default()).as_deref().map_or(0, read)
}

/// A file that is missing, or is being written, is no step.
fn read(file: &Path) -> i64 {
    std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_takes_two_variables() {
        let of = |given: &'static [(&str, &str)]| {
            asked(|name| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(&[("HOLDFAST_FAULT_INJECTION", "1")]).unwrap(), None);
        assert!(of(&[("HOLDFAST_FAULT_CLOCK", "f")]).is_err());
        assert!(of(&[("HOLDFAST_FAULT_CLOCK", "f"), ("HOLDFAST_FAULT_INJECTION", "yes")]).is_err());
        let allowed = of(&[("HOLDFAST_FAULT_CLOCK", "f"), ("HOLDFAST_FAULT_INJECTION", "1")]).unwrap();
        assert_eq!(allowed, Some(PathBuf::from("f")));
    }

    #[test]
    fn the_step_is_what_the_file_says_now() {
        let file = std::env::temp_dir().join(format!("holdfast-clock-{}", ulid::Ulid::generate()));
        assert_eq!(read(&file), 0);
        for (text, step) in [("90000\n", 90_000), ("-5000", -5_000), ("", 0)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(&file), step);
        }
        std::fs::remove_file(&file).unwrap();
    }
}
