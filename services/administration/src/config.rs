//! How administration is set up. Section `[administration]`.

use serde::{Deserialize, Serialize};

/// The settings of administration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdministrationConfig {
    /// How long a CSP may take to say how it is.
    pub status_timeout_ms: u64,
    /// Replicas of the definitions bucket, when this service is the one that makes it. It gets more as soon as a group's log does.
    pub bucket_replicas: usize,
}

impl Default for AdministrationConfig {
    fn default() -> Self {
        Self { status_timeout_ms: 500, bucket_replicas: 1 }
    }
}

/// A setting that cannot be. Nothing was started; correct the one that is named.
#[derive(Debug, thiserror::Error)]
#[error("administration.{field} is {value}: it must be from {least} to {most}")]
pub struct OutOfRange {
    field: &'static str,
    value: u64,
    least: u64,
    most: u64,
}

impl AdministrationConfig {
    /// Refuses settings out of range.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let ranges = [
            ("status_timeout_ms", self.status_timeout_ms, 10, 60_000),
            ("bucket_replicas", self.bucket_replicas as u64, 1, 5),
        ];
        match ranges.into_iter().find(|(_, value, least, most)| !(least..=most).contains(&value)) {
            Some((field, value, least, most)) => Err(OutOfRange { field, value, least, most }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_and_nonsense_does_not() {
        assert!(AdministrationConfig::default().check().is_ok());
        let hasty = AdministrationConfig { status_timeout_ms: 0, ..AdministrationConfig::default() };
        assert!(hasty.check().is_err_and(|error| error.to_string().contains("status_timeout_ms")));
    }
}
