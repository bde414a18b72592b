//! The pools of a group: which CSPs a query may go to that names one.
//!
//! Places stay as they are for ever, like those of CSPs: a query that waits knows its pool by its place, whatever the group is
//! defined like in the meantime. A pool that is defined no more has no CSPs, so whoever waits for it goes away empty-handed.

use super::roster::CspIndex;
use holdfast_schemas::message::PoolDefinition;

/// A pool's place among the pools of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PoolIndex(usize);

/// One pool.
#[derive(Debug)]
struct Pool {
    name: String,
    /// Whether the CSP at that place is in it.
    csps: Vec<bool>,
    overflow: bool,
    is_defined: bool,
}

/// The pools of one group.
#[derive(Debug, Default)]
pub struct Pools {
    pools: Vec<Pool>,
}

impl Pools {
    /// The group has these pools from now on; `place` tells where a CSP stands.
    pub fn redefine(&mut self, definitions: &[PoolDefinition], place: impl Fn(&str) -> Option<CspIndex>) {
        for pool in &mut self.pools {
            (pool.csps, pool.overflow, pool.is_defined) = (Vec::new(), false, false);
        }
        for definition in definitions {
            let places: Vec<_> = definition.csps.iter().filter_map(|csp| place(csp)).map(|csp| csp.0).collect();
            let end = places.iter().max().map_or(0, |last| last + 1);
            let csps = (0..end).map(|place| places.contains(&place)).collect();
            self.put(Pool { name: definition.name.clone(), csps, overflow: definition.overflow, is_defined: true });
        }
    }

    fn put(&mut self, pool: Pool) {
        match self.pools.iter_mut().find(|known| known.name == pool.name) {
            Some(known) => *known = pool,
            None => self.pools.push(pool),
        }
    }

    /// The place of a pool that is defined.
    pub fn find(&self, name: &str) -> Option<PoolIndex> {
        self.pools.iter().position(|pool| pool.is_defined && pool.name == name).map(PoolIndex)
    }

    /// The name at a place.
    pub fn name(&self, index: PoolIndex) -> &str {
        self.pools.get(index.0).map_or("", |pool| pool.name.as_str())
    }

    /// The names of those that are defined.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pools.iter().filter(|pool| pool.is_defined).map(|pool| pool.name.as_str())
    }

    /// Whether that CSP is in that pool.
    pub fn has(&self, index: PoolIndex, csp: CspIndex) -> bool {
        self.pools.get(index.0).and_then(|pool| pool.csps.get(csp.0)).copied().unwrap_or_default()
    }

    /// Whether others take what nobody of the pool can take.
    pub fn overflows(&self, index: PoolIndex) -> bool {
        self.pools.get(index.0).is_some_and(|pool| pool.overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str, csps: &[&str], overflow: bool) -> PoolDefinition {
        PoolDefinition { name: name.to_owned(), csps: csps.iter().map(|csp| (*csp).to_owned()).collect(), overflow }
    }

    fn place(csp: &str) -> Option<CspIndex> {
        ["a", "b", "c"].iter().position(|name| *name == csp).map(CspIndex)
    }

    fn members(pools: &Pools, index: PoolIndex) -> Vec<bool> {
        (0..3).map(|csp| pools.has(index, CspIndex(csp))).collect()
    }

    #[test]
    fn a_csp_may_be_in_several_pools() {
        let mut pools = Pools::default();
        pools.redefine(&[definition("x", &["c", "a"], false), definition("y", &["c"], true)], place);
        let (x, y) = (pools.find("x").unwrap(), pools.find("y").unwrap());
        assert_eq!((members(&pools, x), members(&pools, y)), (vec![true, false, true], vec![false, false, true]));
        assert_eq!((pools.overflows(x), pools.overflows(y)), (false, true));
        assert_eq!((pools.find("z"), pools.names().collect::<Vec<_>>()), (None, vec!["x", "y"]));
    }

    #[test]
    fn a_place_stays_whatever_is_defined() {
        let mut pools = Pools::default();
        pools.redefine(&[definition("x", &["a"], true), definition("y", &["b"], false)], place);
        let (x, y) = (pools.find("x").unwrap(), pools.find("y").unwrap());
        pools.redefine(&[definition("z", &["a"], false), definition("y", &["c"], false)], place);
        assert_eq!((pools.find("x"), pools.find("y")), (None, Some(y)));
        assert_eq!((members(&pools, x), pools.overflows(x), pools.name(x)), (vec![false; 3], false, "x"));
        assert_eq!(members(&pools, y), [false, false, true]);
        pools.redefine(&[definition("x", &["b"], false)], place);
        assert_eq!((pools.find("x"), members(&pools, x)), (Some(x), vec![false, true, false]));
    }
}
