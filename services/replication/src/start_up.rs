//! From an empty, killed or long absent copy to one that serves: restore, catch up, open SurrealDB.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use holdfast_datastore::{Database, OpenError, OpenOptions, STORAGE_VERSION};
use holdfast_foundation::chain;
use holdfast_schemas::message::{CspState, DEFAULT_DATABASE, GroupDefinition};
use holdfast_schemas::{Message as _, limits, subject};
use holdfast_storage::{Copy, Engine, TransactionLimits};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::applier::RemoteWrites;
use crate::fault::{self, Step};
use crate::log::{LogError, Subscription};
use crate::member::Member;
use crate::model::{Position, Replication};
use crate::store::{RestoreError, Restored, restore};

/// The largest transaction, as the rules have it.
pub const TRANSACTION_LIMITS: TransactionLimits = TransactionLimits {
    writes_max: limits::TRANSACTION_MAX_WRITES,
    bytes_max: limits::TRANSACTION_MAX_BYTES,
    scratch_bytes_max: limits::TRANSACTION_SCRATCH_MAX_BYTES,
};

/// Pause between attempts at something that needs others to be there.
const RETRY: Duration = Duration::from_millis(200);
/// How long a CSP leaves the very first writes of a new database to the group's first CSP.
const FIRST_WRITES_MAX: Duration = Duration::from_secs(15);
/// How often progress is reported while catching up.
const PROGRESS: Duration = Duration::from_secs(2);

/// Restores the copy's state, waiting for the log to be there.
///
/// # Errors
/// When the copy and the log do not belong together.
pub async fn restore_when_possible(
    copy: &Copy,
    context: &jetstream::Context,
    client: &async_nats::Client,
    group: &str,
) -> Result<Restored, RestoreError> {
    let stream = subject::log_stream(group);
    let mut reported = None;
    loop {
        match restore(copy, context, client, &stream, STORAGE_VERSION).await {
            Err(error) if error.is_transient() => {
                if reported.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(5)) {
                    reported = Some(Instant::now());
                    info!(group, "waiting for the group's log");
                }
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

/// Subscribes to the log from `next` on, waiting for it to be reachable: a NATS server may go while this process starts.
///
/// # Errors
/// When the copy and the log do not belong together.
pub async fn subscribe_when_possible(
    context: &jetstream::Context,
    client: &async_nats::Client,
    group: &str,
    next: Position,
) -> Result<Subscription, LogError> {
    let stream = subject::log_stream(group);
    fault::reach(Step::BeforeSubscribe, true);
    loop {
        match Subscription::open(context, client, &stream, next).await {
            Err(error) if error.is_transient() => {
                info!(group, error = %chain(&error), "trying again to subscribe to the log");
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

/// Waits until everything up to `target` is applied, and reports how far it is.
pub async fn catch_up(member: &Member, target: u64) {
    let from = member.shared.view.position();
    if from >= target {
        return;
    }
    member.set_state(CspState::CatchingUp, None);
    member.set_catch_up(Some((from, target)));
    let started = Instant::now();
    while !member.shared.view.reached(target, Instant::now() + PROGRESS).await {
        let applied = member.shared.view.position();
        let percent = (applied - from) * 100 / (target - from).max(1);
        info!(csp = member.identity.csp, applied, target, percent, "catching up");
    }
    member.set_catch_up(None);
    info!(csp = member.identity.csp, from, target, took_ms = started.elapsed().as_millis() as u64, "caught up");
}

/// Opens SurrealDB on the copy, and defines the default namespace and database.
pub async fn open_database(member: &Arc<Member>, context: &jetstream::Context) -> Arc<Database> {
    leave_first_writes(member, context).await;
    loop {
        match try_open(member).await {
            Ok(database) => return database,
            Err(error) => {
                let csp = &member.identity.csp;
                if error.is_of_storage() && member.set_storage_error(chain(&error)) {
                    error!(csp, error = %chain(&error), "the storage of this copy fails");
                }
                warn!(csp, error = %chain(&error), "surrealdb cannot be opened yet");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_open(member: &Arc<Member>) -> Result<Arc<Database>, OpenError> {
    let log = member.committer();
    let engine = Engine::new(member.copy.clone(), Arc::new(log), TRANSACTION_LIMITS);
    let name = format!("{}/{}", member.identity.group, member.identity.csp);
    let node_id = xxhash_rust::xxh3::xxh3_128(name.as_bytes()).to_be_bytes();
    let database = Database::open(OpenOptions { engine: Box::new(engine), node_id }).await?;
    if may_write(member) {
        database.initialise(DEFAULT_DATABASE.to_owned(), DEFAULT_DATABASE.to_owned()).await?;
    }
    Ok(database)
}

/// Enters SurrealDB's list of nodes and starts its housekeeping, as soon as the log takes it.
pub async fn join(member: Arc<Member>, database: Arc<Database>) {
    let mut failures = 0_u32;
    while let Err(error) = Arc::clone(&database).join().await {
        failures += 1;
        if failures % 20 == 1 {
            warn!(csp = member.identity.csp, error = %chain(&error), "surrealdb's housekeeping cannot start yet");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// In a new group every CSP would stamp the same version keys at once, lose against one another, and wait for seconds
/// before trying again (SurrealDB does). So the first CSP of the definition goes first.
async fn leave_first_writes(member: &Arc<Member>, context: &jetstream::Context) {
    let deadline = Instant::now() + FIRST_WRITES_MAX;
    if goes_first(member, context).await {
        return;
    }
    while Instant::now() < deadline && !has_default_database(member).await {
        let next = member.shared.view.position() + 1;
        member.shared.view.reached(next, (Instant::now() + RETRY).min(deadline)).await;
    }
}

async fn goes_first(member: &Member, context: &jetstream::Context) -> bool {
    if member.shared.view.with(|view| view.replication == Replication::Primary) {
        return may_write(member);
    }
    let Ok(bucket) = context.get_key_value(subject::definitions_bucket()).await else { return false };
    let Ok(Some(value)) = bucket.get(member.identity.group.as_str()).await else { return false };
    GroupDefinition::decode(&value).is_ok_and(|definition| definition.csps.first() == Some(&member.identity.csp))
}

fn may_write(member: &Member) -> bool {
    member
        .shared
        .view
        .with(|view| view.replication == Replication::Peer || view.primary.as_deref() == Some(&member.identity.csp))
}

/// Whether the copy holds a SurrealDB with a database in it: its storage version, and a definition below a namespace.
async fn has_default_database(member: &Member) -> bool {
    let Ok(snapshot) = member.copy.snapshot().await else { return false };
    let version = snapshot.get(b"!v").await;
    let definitions = snapshot.page(b"/*", b"/+").await;
    snapshot.close().await;
    matches!(version, Ok(Some(_)))
        && definitions.is_ok_and(|page| page.iter().any(|(key, _)| key.get(6..9) == Some(b"!db")))
}

/// SurrealDB, told of what other copies wrote.
pub struct Notified(pub Arc<Database>);

impl RemoteWrites for Notified {
    fn applied(&self, keys: &[&[u8]]) {
        self.0.applied_remote(keys);
    }
}
