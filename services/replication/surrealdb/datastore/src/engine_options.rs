//! How often SurrealDB's own housekeeping runs. Every round of it may be an entry of the log, on every copy, for ever: an
//! idle group should be quiet.

use std::time::Duration;

use surrealdb_core::options::EngineOptions;

/// Housekeeping for a copy of a group.
///
/// - A node's row is refreshed every 12 s; others archive it after 30 s, a number that SurrealDB does not let us change.
/// - Work that is queued wakes its task at once where it was committed, and on the other copies when they apply it
///   (`memory`), so the polling of queues is only a safety net. One copy holds a lease on each queue for twice the interval
///   and renews it halfway, so the interval also says how long work waits when that copy dies: 15 s is 0.2 entries/s for
///   the three queues together, and half a minute of delay at worst.
/// - The rest waits minutes without harm.
pub(crate) fn quiet() -> EngineOptions {
    EngineOptions {
        node_membership_refresh_interval: Duration::from_secs(12),
        node_membership_check_interval: Duration::from_secs(60),
        node_membership_cleanup_interval: Duration::from_secs(600),
        changefeed_gc_interval: Duration::from_secs(120),
        index_compaction_interval: Duration::from_secs(15),
        index_build_resume_interval: Duration::from_secs(60),
        event_processing_interval: Duration::from_secs(15),
        graph_fold_interval: Duration::from_secs(15),
        live_query_router_interval: Duration::from_secs(3600),
        reclaim_interval: Duration::from_secs(120),
        rpc_session_gc_interval: Duration::ZERO,
        ..EngineOptions::default()
    }
}
