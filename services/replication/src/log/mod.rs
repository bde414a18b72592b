//! The edge to the log: what goes in (`publisher`), what comes out (`subscription`), and what is on its way (`ledger`).

mod gateway;
mod ledger;
mod publisher;
mod submission;
mod subscription;

pub use gateway::{Gateway, Origin};
pub use ledger::Ledger;
pub use publisher::{Publisher, PublisherOptions, encode, refusal};
pub use submission::{Answer, Resolved, Submission, Waiting};
pub use subscription::{LogError, Subscription};
