//! What a client can do in a recorded transaction, and what it learns by it.
//!
//! Every operation observes what it touches before it changes it. So there are no blind writes, and a transaction that
//! went missing, was doubled or came in another order shows in the very next transaction on the same key.

use std::fmt;

/// One step of a transaction: one statement.
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
    /// Sets a row's number, where there was a row or not; observes the row before.
    Put {
        /// The row's key.
        row: u64,
        /// Its number.
        number: u64,
    },
    /// Deletes a row; observes it.
    Delete {
        /// The row's key.
        row: u64,
    },
    /// Observes a row: its number and its mark, or nothing.
    ReadRow {
        /// The row's key.
        row: u64,
    },
    /// Observes which rows there are in a range of keys: where phantoms would show.
    Scan {
        /// The first key.
        from: u64,
        /// The first key behind the range.
        until: u64,
    },
    /// Observes which rows have a number in a range, with or without an index.
    Find {
        /// The first number.
        from: u64,
        /// The first number behind the range.
        until: u64,
    },
    /// Observes how many rows there are.
    CountRows,
    /// Defines the field that puts this mark on every row that is set from then on, or removes the definition.
    Mark(Option<u64>),
    /// Defines an index on the rows' numbers, or removes it. Nothing that is observed may change by it.
    Index(bool),
    /// Takes a name that one holder can have at a time (a unique index); fails where it is taken.
    Claim {
        /// The name.
        name: String,
        /// Who takes it, unique in the whole history.
        holder: u64,
    },
    /// Gives a name back, whoever has it; observes who had it.
    Release {
        /// The name.
        name: String,
    },
    /// Observes who has a name.
    ReadClaim {
        /// The name.
        name: String,
    },
    /// Writes more than one message of the log takes; observes the value before.
    Fill {
        /// The key.
        blob: String,
        /// Written along.
        value: u64,
    },
    /// Observes the value that was written along, and the length of what was filled in.
    ReadBlob {
        /// The key.
        blob: String,
    },
    /// Fails, always.
    Throw,
}

/// A piece of the database, or all rows.
#[derive(PartialEq, Eq)]
enum Area<'a> {
    List(&'a str),
    Counter(&'a str),
    Row(u64),
    Rows,
    Claim(&'a str),
    Blob(&'a str),
    Nothing,
}

impl Operation {
    /// Whether the operation changes anything.
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Self::Append { .. }
                | Self::Add { .. }
                | Self::Put { .. }
                | Self::Delete { .. }
                | Self::Mark(_)
                | Self::Claim { .. }
                | Self::Release { .. }
                | Self::Fill { .. }
        )
    }

    /// Whether it does the same at whatever place, in the eyes of everybody who touches the same: not so what may find nothing to do,
    /// and what goes by a definition.
    pub fn is_plain(&self) -> bool {
        !matches!(self, Self::Put { .. } | Self::Delete { .. } | Self::Release { .. } | Self::Mark(_))
    }

    /// Whether two operations can see one another's effects.
    pub fn meets(&self, other: &Self) -> bool {
        match (self.area(), other.area()) {
            (Area::Nothing, _) | (_, Area::Nothing) => false,
            (Area::Rows, Area::Row(_)) | (Area::Row(_), Area::Rows) => true,
            (one, other) => one == other,
        }
    }

    fn area(&self) -> Area<'_> {
        match self {
            Self::Append { list, .. } | Self::ReadList { list } => Area::List(list),
            Self::Add { counter, .. } | Self::ReadCounter { counter } => Area::Counter(counter),
            Self::Put { row, .. } | Self::Delete { row } | Self::ReadRow { row } => Area::Row(*row),
            Self::Scan { .. } | Self::Find { .. } | Self::CountRows | Self::Mark(_) => Area::Rows,
            Self::Claim { name, .. } | Self::Release { name } | Self::ReadClaim { name } => Area::Claim(name),
            Self::Fill { blob, .. } | Self::ReadBlob { blob } => Area::Blob(blob),
            Self::Index(_) | Self::Throw => Area::Nothing,
        }
    }
}

/// What an operation saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Values: of a list, of a row, keys of rows.
    List(Vec<u64>),
    /// A counter, or a count.
    Number(i64),
    /// The statement failed.
    Failure,
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Failure => write!(f, "a failure"),
            Self::List(values) if values.len() <= 12 => write!(f, "{values:?}"),
            Self::List(values) => write!(f, "{} values, the last {:?}", values.len(), &values[values.len() - 8..]),
        }
    }
}
