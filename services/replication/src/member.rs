//! One CSP as the rest of the system sees it: its state, its load, what it counts.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use holdfast_datastore::Database;
use holdfast_foundation::bus::pauses::Pauses;
use holdfast_foundation::clock::since_boot_ms;
use holdfast_schemas::message::{CatchUp, Counters, CspState, Heartbeat, Isolation, Replication, StatusReply, Storage};
use holdfast_schemas::{ErrorCode, limits};
use holdfast_storage::Copy;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::applier::Shared;
use crate::clocks::Clocks;
use crate::committer::Committer;
use crate::echo::Echo;
use crate::forward::Forward;
use crate::log::Gateway;
use crate::model;
use crate::requests::{Notes, Transactions};

/// Version of the embedded SurrealDB.
const SURREALDB_VERSION: &str = "3.3.5";

/// What an answer holds beside its results: type, id, position.
const ANSWER_HEAD_BYTES: usize = 1024;

/// What the server takes in one message.
fn answer_bytes_max(client: &async_nats::Client) -> usize {
    client.server_info().max_payload
}

/// Who this CSP is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its group.
    pub group: String,
    /// Its name.
    pub csp: String,
    /// Its node.
    pub node: String,
    /// Where its copy is kept.
    pub storage: Storage,
    /// When the process started, in milliseconds since 1970.
    pub started_at_ms: u64,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Queries answered.
    pub queries: AtomicU64,
    /// Updates answered.
    pub updates: AtomicU64,
    /// Updates that lost against others and were run again, or refused.
    pub conflicts: AtomicU64,
    /// How long queries take.
    pub query_time: ServiceTime,
    /// How long updates take.
    pub update_time: ServiceTime,
}

/// How long requests of one kind took since the last heartbeat, and on average in the interval before it.
#[derive(Debug, Default)]
pub struct ServiceTime {
    total_us: AtomicU64,
    count: AtomicU64,
    /// 0 where nothing was answered.
    mean_us: AtomicU32,
}

impl ServiceTime {
    /// A request was answered.
    pub fn note(&self, took: Duration) {
        self.total_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// An interval has ended.
    pub fn roll(&self) {
        let (total_us, count) = (self.total_us.swap(0, Ordering::Relaxed), self.count.swap(0, Ordering::Relaxed));
        let mean_us = total_us.checked_div(count).unwrap_or_default();
        self.mean_us.store(u32::try_from(mean_us).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// What a request took in the last interval; none if there was none.
    #[must_use]
    pub fn mean_us(&self) -> Option<u32> {
        Some(self.mean_us.load(Ordering::Relaxed)).filter(|mean_us| *mean_us > 0)
    }
}

/// One CSP.
pub struct Member {
    /// Who it is.
    pub identity: Identity,
    /// Its connection.
    pub client: async_nats::Client,
    /// Its way into the log.
    pub gateway: Arc<Gateway>,
    /// What its applier shares.
    pub shared: Shared,
    /// Its copy.
    pub copy: Copy,
    /// Its way to the primary, and the other end of that way.
    pub forward: Arc<Forward>,
    /// SurrealDB on the copy, once it runs.
    pub database: OnceLock<Arc<Database>>,
    /// What it counted.
    pub counts: Counts,
    /// What it tells execution about the requests that came from there.
    pub notes: Arc<Notes>,
    /// Transactions over several messages that began here.
    pub transactions: Transactions,
    /// The clocks of the others.
    pub clocks: Clocks,
    /// Whether its own heartbeats come back.
    pub echo: Echo,
    /// For how long a message may have lain in the inbox of this process.
    pub pauses: Arc<Pauses>,
    outstanding: AtomicU32,
    outstanding_queries: AtomicU32,
    answer_bytes_max: AtomicUsize,
    state: Mutex<(CspState, Option<String>)>,
    catch_up: Mutex<Option<(u64, u64)>>,
    storage_error: Mutex<Option<String>>,
}

impl Member {
    /// A CSP that has just started.
    #[must_use]
    pub fn new(
        identity: Identity,
        client: async_nats::Client,
        gateway: Arc<Gateway>,
        shared: Shared,
        copy: Copy,
        forward: Arc<Forward>,
    ) -> Self {
        let answer_bytes_max = AtomicUsize::new(answer_bytes_max(&client));
        Self {
            identity,
            client,
            gateway,
            shared,
            copy,
            forward,
            database: OnceLock::new(),
            counts: Counts::default(),
            notes: Arc::default(),
            transactions: Transactions::default(),
            clocks: Clocks::default(),
            echo: Echo::default(),
            pauses: Arc::default(),
            outstanding: AtomicU32::new(0),
            outstanding_queries: AtomicU32::new(0),
            answer_bytes_max,
            state: Mutex::new((CspState::Joining, None)),
            catch_up: Mutex::new(None),
            storage_error: Mutex::new(None),
        }
    }

    /// Most bytes of an answer. It may change with the server that this CSP is connected to.
    #[must_use]
    pub fn answer_bytes_max(&self) -> usize {
        self.answer_bytes_max.load(Ordering::Relaxed)
    }

    /// Most bytes of the results in an answer.
    #[must_use]
    pub fn results_bytes_max(&self) -> usize {
        limits::MAX_RESULTS_BYTES.min(self.answer_bytes_max().saturating_sub(ANSWER_HEAD_BYTES))
    }

    /// How it sees itself.
    #[must_use]
    pub fn state(&self) -> CspState {
        let state = self.state.lock().0;
        if self.shared.standing.parted().is_some() && state != CspState::Draining {
            return CspState::Quarantined;
        }
        state
    }

    /// Why it is in this state, when that needs saying; or what its log lacks, while it serves all the same.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let reason = self.state.lock().1.clone();
        let of_storage = || self.storage_error.lock().as_ref().map(|error| format!("its storage fails: {error}"));
        let of_log = || self.shared.standing.refusal().map(|refusal| refusal.reason);
        let of_shortage = || self.shared.standing.shortage().map(|shortage| shortage.to_string());
        reason.or_else(of_storage).or_else(of_log).or_else(of_shortage)
    }

    /// Changes the state. A quarantined CSP stays so until it is rebuilt.
    pub fn set_state(&self, state: CspState, reason: Option<String>) {
        let mut current = self.state.lock();
        if current.0 != CspState::Quarantined {
            *current = (state, reason);
        }
    }

    /// Changes the state if it is `from`; says whether it was.
    pub fn change_state(&self, from: CspState, to: CspState) -> bool {
        let mut current = self.state.lock();
        let changes = current.0 == from;
        if changes {
            *current = (to, None);
        }
        changes
    }

    /// Whether this CSP is the primary of a primary group, as far as it has applied the log.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.shared.view.with(|view| {
            view.replication == model::Replication::Primary && view.primary.as_deref() == Some(&self.identity.csp)
        })
    }

    /// Notes why the copy cannot be read or written; says whether that is news.
    pub fn set_storage_error(&self, error: String) -> bool {
        let mut current = self.storage_error.lock();
        let is_news = current.as_ref() != Some(&error);
        *current = Some(error);
        is_news
    }

    /// Notes that it has to catch up to `target`; none when it has.
    pub fn set_catch_up(&self, catch_up: Option<(u64, u64)>) {
        *self.catch_up.lock() = catch_up;
    }

    /// Its way to commit, to the primary if it may not write itself.
    #[must_use]
    pub fn committer(&self) -> Committer {
        let (view, contention) = (Arc::clone(&self.shared.view), Arc::clone(&self.shared.contention));
        Committer::new(Arc::clone(&self.gateway), view, Arc::clone(&self.forward), contention)
    }

    /// Counts a request as taken until the guard is dropped.
    #[must_use]
    pub fn take_request(self: &Arc<Self>) -> Taken {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Taken { member: Arc::clone(self), is_query: false }
    }

    /// The same for a query.
    #[must_use]
    pub fn take_query(self: &Arc<Self>) -> Taken {
        let mut taken = self.take_request();
        self.outstanding_queries.fetch_add(1, Ordering::Relaxed);
        taken.is_query = true;
        taken
    }

    /// Whether queries are all that was taken and is not answered yet.
    #[must_use]
    pub fn has_only_queries(&self) -> bool {
        self.outstanding() <= self.outstanding_queries.load(Ordering::Relaxed)
    }

    /// Requests taken and not answered yet.
    #[must_use]
    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// The sign of life.
    #[must_use]
    pub fn heartbeat(&self, now_ms: u64) -> Heartbeat {
        let view = self.shared.view.get();
        self.answer_bytes_max.store(answer_bytes_max(&self.client), Ordering::Relaxed);
        Heartbeat {
            group: self.identity.group.clone(),
            csp: self.identity.csp.clone(),
            node: self.identity.node.clone(),
            incarnation: self.gateway.origin().incarnation.to_string(),
            state: self.state(),
            applied: view.position,
            log_end: Some(self.shared.freshness.log_end().max(view.position)),
            epoch: view.epoch,
            primary: view.primary,
            outstanding: self.outstanding(),
            at_ms: now_ms,
            stuck_ms: Some(self.shared.applied.stuck_ms()).filter(|stuck_ms| *stuck_ms > 0),
            storage_error: self.storage_error.lock().clone(),
            query_us: self.counts.query_time.mean_us(),
            update_us: self.counts.update_time.mean_us(),
            connects: Some(self.client.statistics().connects.load(Ordering::Relaxed)),
            // What is wrong with this copy alone is its state. Here it would look like the word of its group's log.
            updates_refused: self.shared.standing.refusal().filter(|refusal| refusal.code != ErrorCode::Quarantined),
            clock_ms: Some(since_boot_ms()),
            clock_ahead_ms: self.clocks.ahead_ms(since_boot_ms()),
            unheard_ms: self.echo.unheard_ms(Instant::now()),
        }
    }

    /// Everything it tells about itself.
    #[must_use]
    pub fn status(&self, now_ms: u64) -> StatusReply {
        let view = self.shared.view.get();
        StatusReply {
            heartbeat: self.heartbeat(now_ms),
            started_at_ms: self.identity.started_at_ms,
            replication: match view.replication {
                model::Replication::Primary => Replication::Primary,
                model::Replication::Peer => Replication::Peer,
            },
            isolation: match view.isolation {
                model::Isolation::Serializable => Isolation::Serializable,
                model::Isolation::Snapshot => Isolation::Snapshot,
            },
            storage: self.identity.storage,
            surrealdb_version: SURREALDB_VERSION.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            catch_up: self.catch_up.lock().map(|(from, target)| CatchUp { from, applied: view.position, target }),
            counters: Counters {
                conflicts: self.counts.conflicts.load(Ordering::Relaxed),
                queries: self.counts.queries.load(Ordering::Relaxed),
                updates: self.counts.updates.load(Ordering::Relaxed),
                committed: self.shared.applied.transactions.load(Ordering::Relaxed),
                entries: self.shared.applied.entries.load(Ordering::Relaxed),
                bytes: self.shared.applied.bytes.load(Ordering::Relaxed),
            },
            reason: self.reason(),
            junk: view.junk,
        }
    }
}

/// A request that was taken; dropped when it is answered.
pub struct Taken {
    member: Arc<Member>,
    is_query: bool,
}

impl Drop for Taken {
    fn drop(&mut self) {
        // In this order, so that no other request is taken for a query.
        if self.is_query {
            self.member.outstanding_queries.fetch_sub(1, Ordering::Relaxed);
        }
        self.member.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
