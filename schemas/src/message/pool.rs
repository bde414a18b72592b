//! A pool of a group: some of its CSPs, for a class of queries that is to stay with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codec::DecodeError;
use crate::limits::MAX_POOLS;
use crate::name::{self, NameKind};

/// A named part of the CSPs of a group. Queries that name it go to these CSPs; a CSP may be in several pools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolDefinition {
    /// Its name.
    pub name: String,
    /// Its CSPs, each one of the group's.
    #[schemars(length(min = 1, max = 32))]
    pub csps: Vec<String>,
    /// Whether any other CSP of the group may answer while none of these is available.
    #[serde(default)]
    pub overflow: bool,
}

impl PoolDefinition {
    fn check(&self, of_group: &[String]) -> Result<(), DecodeError> {
        let name = &self.name;
        name::validate(NameKind::Pool, name).map_err(|error| refused(format!("is refused: {error}")))?;
        if self.csps.is_empty() {
            return Err(refused(format!("has a pool {name:?} without CSPs: name at least one")));
        }
        for (index, csp) in self.csps.iter().enumerate() {
            if !of_group.contains(csp) {
                return Err(refused(format!("has {csp:?} in pool {name:?}: name a CSP of the group")));
            }
            if self.csps.iter().take(index).any(|earlier| earlier == csp) {
                return Err(refused(format!("has {csp:?} in pool {name:?} twice: name each CSP once")));
            }
        }
        Ok(())
    }
}

/// Checks the pools of one group, whose CSPs are these.
pub(super) fn check(pools: &[PoolDefinition], of_group: &[String]) -> Result<(), DecodeError> {
    if pools.len() > MAX_POOLS {
        return Err(refused(format!("must name at most {MAX_POOLS} pools")));
    }
    for (index, pool) in pools.iter().enumerate() {
        pool.check(of_group)?;
        if pools.iter().take(index).any(|earlier| earlier.name == pool.name) {
            return Err(refused(format!("names {:?} twice: name each pool once", pool.name)));
        }
    }
    Ok(())
}

fn refused(reason: String) -> DecodeError {
    DecodeError::refused("pools", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, csps: &[&str]) -> PoolDefinition {
        let csps = csps.iter().map(|csp| (*csp).to_owned()).collect();
        PoolDefinition { name: name.to_owned(), csps, overflow: false }
    }

    fn group() -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    #[test]
    fn pools_that_make_sense_pass() {
        assert_eq!(check(&[pool("reports", &["b", "c"]), pool("site", &["a", "b"])], &group()), Ok(()));
        assert_eq!(check(&[], &group()), Ok(()));
        let read: PoolDefinition = serde_json::from_str(r#"{"name":"reports","csps":["b"]}"#).unwrap();
        assert_eq!(read, pool("reports", &["b"]), "no overflow unless it is asked for");
    }

    #[test]
    fn pools_that_make_no_sense_are_refused() {
        let cases: [(Vec<PoolDefinition>, &str); 6] = [
            ((0..=MAX_POOLS).map(|number| pool(&format!("p{number}"), &["a"])).collect(), "at most 32"),
            (vec![pool("a.b", &["a"])], "pool name"),
            (vec![pool("p", &[])], "without CSPs"),
            (vec![pool("p", &["d"])], "a CSP of the group"),
            (vec![pool("p", &["a", "a"])], "twice"),
            (vec![pool("p", &["a"]), pool("p", &["b"])], "each pool once"),
        ];
        for (pools, reason) in cases {
            let error = check(&pools, &group()).unwrap_err().to_string();
            assert!(error.starts_with("`pools` ") && error.contains(reason), "{error}");
        }
    }
}
