//! A fingerprint of everything in the log up to a position: two copies that agree on it have read the same log.

use std::fmt;

use xxhash_rust::xxh3::Xxh3Default;

/// The chain value after some position.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Chain([u8; 16]);

impl Chain {
    /// Takes a chain value from its bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the value.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The value after one more message: a hash over this value and the message.
    pub fn next(self, message: &[u8]) -> Self {
        let mut hasher = Xxh3Default::new();
        hasher.update(&self.0);
        hasher.update(message);
        Self(hasher.digest128().to_le_bytes())
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
