//! What SurrealDB holds in memory and cannot notice by itself when another copy's entry is applied here.
//!
//! Almost everything it caches is keyed by stamps that it reads in each transaction's own snapshot. What is left are tasks
//! that sleep until something is committed on this copy: work that was queued elsewhere has to wake them too.

use surrealdb_core::kvs::Datastore;

/// Tells `datastore` about keys that other copies wrote. Nearly all of them are records, told apart by their second byte.
pub(crate) fn applied_remote(datastore: &Datastore, keys: &[&[u8]]) {
    let triggers = datastore.commit_triggers();
    for key in keys.iter().filter(|key| key.get(1) == Some(&b'!')) {
        match key.get(..4) {
            Some(b"/!eq") => triggers.async_event.notify_one(),
            Some(b"/!ic") => triggers.index_compaction.notify_one(),
            Some(b"/!gf") => triggers.graph_fold.notify_one(),
            _ => {}
        }
    }
}
