//! The error that a check gives when it has seen a promise broken, and not only a test that could not be carried out.

use crate::history::Violation;

/// Something was seen that must never be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BrokenPromise(pub String);

/// What was seen, if the error says that a promise was broken.
pub fn broken_promise(error: &anyhow::Error) -> Option<String> {
    let violation = error.downcast_ref::<Violation>().map(ToString::to_string);
    violation.or_else(|| error.downcast_ref::<BrokenPromise>().map(ToString::to_string))
}
