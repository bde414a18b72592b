//! How administration is set up. Section `[administration]`.

use serde::{Deserialize, Serialize};

/// The settings of administration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdministrationConfig {
    /// How long a CSP may take to say how it is.
    pub status_timeout_ms: u64,
    /// Replicas of the definitions bucket, when this service is the one that makes it.
    pub bucket_replicas: usize,
}

impl Default for AdministrationConfig {
    fn default() -> Self {
        Self { status_timeout_ms: 500, bucket_replicas: 1 }
    }
}
