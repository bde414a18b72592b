//! The error that a check gives when it has seen a promise broken, and not only a test that could not be carried out.

use crate::history::Violation;

/// Something was seen that must never be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BrokenPromise(pub String);

/// What was seen, if the error says that a promise was broken. A pause and a search that was given up are none: a machine that
/// is slow shows both of a group that keeps every promise.
pub fn broken_promise(error: &anyhow::Error) -> Option<String> {
    let violation = error.downcast_ref::<Violation>();
    let proof = violation.filter(|found| !matches!(found, Violation::Unavailable { .. } | Violation::Undecided { .. }));
    proof.map(ToString::to_string).or_else(|| error.downcast_ref::<BrokenPromise>().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::{BrokenPromise, broken_promise};
    use crate::history::Violation;

    #[test]
    fn what_a_slow_machine_shows_is_no_proof() {
        let broken = Violation::Shape { id: "one".into(), asked: 1, got: 2 };
        assert!(broken_promise(&anyhow::Error::from(broken).context("in a run")).is_some());
        assert!(broken_promise(&BrokenPromise("copies differ".into()).into()).is_some());
        for slow in
            [Violation::Unavailable { since_ns: 1, until_ns: 3, bound_ns: 1 }, Violation::Undecided { unknown: 9 }]
        {
            assert_eq!(broken_promise(&slow.into()), None);
        }
        assert_eq!(broken_promise(&anyhow::anyhow!("it did not start")), None);
    }
}
