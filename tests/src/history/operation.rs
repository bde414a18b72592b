//! What a client can do in a recorded transaction, and what it learns by it.
//!
//! Every operation observes what it touches before it changes it. So there are no blind writes, and a transaction that
//! went missing, was doubled or came in another order shows in the very next transaction on the same key.

use std::fmt;

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Appends a value, unique in the whole history, to a list; observes the list before.
    Append {
        /// The list's key.
        list: String,
        /// The value.
        value: u64,
    },
    /// Adds to a counter; observes the number before.
    Add {
        /// The counter's key.
        counter: String,
        /// What is added.
        amount: i64,
    },
    /// Observes a list.
    ReadList {
        /// The list's key.
        list: String,
    },
    /// Observes a counter.
    ReadCounter {
        /// The counter's key.
        counter: String,
    },
    /// Observes how many lists there are: a scan over a range, where phantoms would show.
    CountLists,
}

impl Operation {
    /// Whether the operation changes anything.
    pub fn writes(&self) -> bool {
        matches!(self, Self::Append { .. } | Self::Add { .. })
    }

    /// Whether two operations can see one another's effects.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::CountLists, Self::Append { .. }) | (Self::Append { .. }, Self::CountLists) => true,
            _ => self.key().is_some() && self.key() == other.key(),
        }
    }

    fn key(&self) -> Option<(bool, &str)> {
        match self {
            Self::Append { list, .. } | Self::ReadList { list } => Some((true, list)),
            Self::Add { counter, .. } | Self::ReadCounter { counter } => Some((false, counter)),
            Self::CountLists => None,
        }
    }
}

/// What an operation saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A list's values.
    List(Vec<u64>),
    /// A counter, or a count.
    Number(i64),
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::List(values) if values.len() <= 12 => write!(f, "{values:?}"),
            Self::List(values) => write!(f, "{} values, the last {:?}", values.len(), &values[values.len() - 8..]),
        }
    }
}
