//! Faults that tests ask for, to prove that the checks would find them. Refused unless a second variable says that they are
//! meant: no deployment can fall into this by one wrong setting.

/// A fault was asked for without the second variable, or is not known.
#[derive(Debug, thiserror::Error)]
#[error(
    "HOLDFAST_FAULT={0:?} is refused: faults are for tests, with HOLDFAST_FAULT_INJECTION=1, and only `ignore-conflicts` exists"
)]
pub struct FaultRefused(String);

/// Whether certification is to be broken on purpose.
///
/// # Errors
/// When a fault is asked for that is not allowed.
pub fn ignore_conflicts() -> Result<bool, FaultRefused> {
    let Ok(fault) = std::env::var("HOLDFAST_FAULT") else { return Ok(false) };
    match (fault.as_str(), std::env::var("HOLDFAST_FAULT_INJECTION").as_deref()) {
        ("", _) => Ok(false),
        ("ignore-conflicts", Ok("1")) => Ok(true),
        _ => Err(FaultRefused(fault)),
    }
}
