//! How a pool is written on the command line: `reports=csp-2,csp-3`, and `reports=csp-2,csp-3:overflow`.

use holdfast_schemas::message::PoolDefinition;

/// What stands behind the colon of a pool that overflows.
const OVERFLOW: &str = "overflow";

/// Reads one pool. Whether its CSPs are the group's is judged with the whole definition.
pub fn parse(text: &str) -> Result<PoolDefinition, String> {
    const FORM: &str = "write it as NAME=CSP,CSP or NAME=CSP,CSP:overflow";
    let (name, csps) = text.split_once('=').ok_or_else(|| format!("there is no = in it: {FORM}"))?;
    let (csps, overflow) = match csps.split_once(':') {
        None => (csps, false),
        Some((csps, OVERFLOW)) => (csps, true),
        Some((_, other)) => return Err(format!("{other:?} is no way to go on when nobody of it is available: {FORM}")),
    };
    if name.is_empty() || csps.split(',').any(str::is_empty) {
        return Err(format!("a name is missing: {FORM}"));
    }
    Ok(PoolDefinition { name: name.to_owned(), csps: csps.split(',').map(str::to_owned).collect(), overflow })
}

/// Writes a pool as it can be typed.
#[must_use]
pub fn write(pool: &PoolDefinition) -> String {
    let overflow = if pool.overflow { format!(":{OVERFLOW}") } else { String::new() };
    format!("{}={}{overflow}", pool.name, pool.csps.join(","))
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    #[test]
    fn a_pool_is_written_as_it_is_read() {
        for text in ["reports=csp-2,csp-3", "site=csp-1:overflow"] {
            assert_eq!(write(&parse(text).unwrap()), text);
        }
        assert!(parse("site=csp-1:overflow").unwrap().overflow);
    }

    #[test]
    fn what_is_mistyped_is_refused_with_the_form() {
        for (text, reason) in [
            ("reports", "no ="),
            ("=csp-2", "missing"),
            ("reports=", "missing"),
            ("reports=csp-2,,csp-3", "missing"),
            ("reports=csp-2:spill", "\"spill\""),
            ("reports=:overflow", "missing"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason) && error.contains("NAME=CSP,CSP:overflow"), "{text}: {error}");
        }
    }
}
