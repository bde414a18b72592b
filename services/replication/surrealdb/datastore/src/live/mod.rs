//! Live queries: registered on one copy, fed by the writes of all.
//!
//! A subscription is a row of the database and so on every copy. Whoever writes evaluates it in the same transaction, and
//! after the commit hands the notification to the broker: for a subscription of this copy it goes to the hub, which knows
//! the open streams; for another copy's it goes to the [`LiveRouter`], and arrives there in `Database::deliver_live`. As in
//! SurrealDB itself this is best effort: a notification is lost with the connection that carries it, and it can arrive
//! before this copy has applied the write that it speaks of.

mod broker;
mod hub;
mod stream;

pub(crate) use broker::Broker;
pub use broker::LiveRouter;
pub(crate) use hub::Hub;
pub use hub::{LiveAction, LiveEvent};
pub use stream::LiveStream;
pub(crate) use stream::open;
