//! What Holdfast says on the wire, in one place: subjects, headers, limits, names and messages.
//!
//! Services depend on this crate and never on one another. It does no I/O. Every message has a type name
//! (`io.holdfast.<service>.v1.<name>`), which is also the title and the path of its JSON Schema under `json/`.
//! Within a version, fields are only ever added; a change that breaks a reader is a new version.

pub mod codec;
pub mod contract;
pub mod error_code;
pub mod fields;
pub mod header;
pub mod limits;
pub mod message;
pub mod name;
pub mod subject;

pub use codec::{DecodeError, Kind, Message};
pub use error_code::ErrorCode;
