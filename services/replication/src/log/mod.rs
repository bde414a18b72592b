//! The edge to the log: what goes in (`publisher`), what comes out (`subscription`), and what is on its way (`ledger`).

mod error;
mod gateway;
mod ledger;
mod probe;
mod publisher;
mod standing;
mod submission;
mod subscription;

pub use error::LogError;
pub use gateway::{Gateway, Origin};
pub use ledger::Ledger;
pub use probe::Probe;
pub use publisher::{Publisher, PublisherOptions, encode, refusal};
pub use standing::{LogStanding, Passage};
pub use submission::{Answer, Resolved, Submission, Waiting};
pub use subscription::{Subscription, find, sight_of};
