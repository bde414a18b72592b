//! Times on the command line: a bare number counts milliseconds, as in messages; with a unit it is what `nats` takes, too.

use std::time::Duration;

/// Reads a time.
///
/// # Errors
/// A sentence that says how times are written.
pub fn milliseconds(text: &str) -> Result<u64, String> {
    let with_unit = || humantime::parse_duration(text).ok().as_ref().map(Duration::as_millis);
    let read = text.parse().ok().or_else(|| u64::try_from(with_unit()?).ok());
    read.ok_or_else(|| "a time is a number of milliseconds, or has a unit: 500, 500ms, 5s, 2m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn a_bare_number_counts_milliseconds_and_units_are_taken() {
        let cases = [("0", 0), ("500", 500), ("500ms", 500), ("5s", 5_000), ("2m", 120_000), ("1m 30s", 90_000)];
        for (text, read) in cases {
            assert_eq!(milliseconds(text), Ok(read), "{text}");
        }
        for text in ["", "soon", "-1", "5 elephants", "1.5"] {
            assert!(milliseconds(text).is_err_and(|why| why.contains("5s")), "{text}");
        }
    }
}
