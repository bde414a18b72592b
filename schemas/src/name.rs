//! Which names groups, CSPs and nodes may bear. A name becomes a subject token, a stream name and a key, so it must
//! never hold a dot, a blank or a wildcard.

use std::fmt;

use crate::limits::MAX_NAME_BYTES;

/// What is being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A replicated database.
    Group,
    /// One copy's process.
    Csp,
    /// A machine.
    Node,
    /// A responsibility that one CSP holds at a time.
    Task,
    /// A part of a group's CSPs that queries may be bound to.
    Pool,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "group",
            Self::Csp => "csp",
            Self::Node => "node",
            Self::Task => "task",
            Self::Pool => "pool",
        })
    }
}

/// Group names that would collide with subjects of Holdfast itself.
pub const RESERVED_GROUPS: [&str; 4] = ["admin", "execution", "supervision", "node"];

/// A name was refused. Nothing happened; choose another name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// It holds other characters, or is too short or too long.
    #[error("{kind} name {name:?} is not allowed: use 1 to {MAX_NAME_BYTES} of the characters A-Z, a-z, 0-9, _ and -")]
    Shape {
        /// What was to be named.
        kind: NameKind,
        /// The name, cut to a length that fits a message.
        name: String,
    },
    /// It is one of [`RESERVED_GROUPS`].
    #[error("{kind} name {name:?} is reserved for Holdfast itself: choose another")]
    Reserved {
        /// What was to be named.
        kind: NameKind,
        /// The name.
        name: String,
    },
}

/// Checks a name: `[A-Za-z0-9_-]{1,64}`, and for groups not a reserved one.
pub fn validate(kind: NameKind, name: &str) -> Result<(), InvalidName> {
    let well_shaped = (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !well_shaped {
        return Err(InvalidName::Shape { kind, name: name.chars().take(2 * MAX_NAME_BYTES).collect() });
    }
    if kind == NameKind::Group && RESERVED_GROUPS.contains(&name) {
        return Err(InvalidName::Reserved { kind, name: name.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_a_subject_token_pass() {
        for name in ["a", "shop", "Shop_2-b", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(validate(NameKind::Group, name), Ok(()), "{name}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for name in ["", "a.b", "a b", "*", ">", "ä", "a\n", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert!(matches!(validate(NameKind::Csp, name), Err(InvalidName::Shape { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_group_cannot_take_the_place_of_a_service() {
        for name in RESERVED_GROUPS {
            assert!(matches!(validate(NameKind::Group, name), Err(InvalidName::Reserved { .. })), "{name}");
        }
        assert_eq!(validate(NameKind::Csp, "admin"), Ok(()));
    }
}
