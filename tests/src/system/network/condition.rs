//! What a network does with what it is given.

use std::fmt;
use std::time::Duration;

/// Which directions are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nobody hears anything.
    Both,
    /// The service hears NATS and is not heard.
    ToNats,
    /// The service is heard and hears nothing.
    FromNats,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "in both directions",
            Self::ToNats => "towards NATS",
            Self::FromNats => "from NATS",
        })
    }
}

/// One of the two directions of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToNats,
    FromNats,
}

/// How a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether there are connections at all.
    pub open: bool,
    /// What is cut, silently.
    pub cut: Option<Cut>,
    /// How much later everything arrives.
    pub delay: Duration,
}

/// The network as it is without faults.
pub const PERFECT: Condition = Condition { open: true, cut: None, delay: Duration::ZERO };

impl Condition {
    /// Whether it carries in a direction.
    pub fn carries(&self, direction: Direction) -> bool {
        match self.cut {
            None => true,
            Some(Cut::Both) => false,
            Some(Cut::ToNats) => direction == Direction::FromNats,
            Some(Cut::FromNats) => direction == Direction::ToNats,
        }
    }
}
