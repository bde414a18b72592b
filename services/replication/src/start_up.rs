//! From an empty, killed or long absent copy to one that serves: restore, catch up, open SurrealDB.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use holdfast_datastore::{Database, OpenError, OpenOptions, STORAGE_VERSION};
use holdfast_foundation::bus::log_stream;
use holdfast_foundation::chain;
use holdfast_schemas::message::{CspState, DEFAULT_DATABASE, GroupDefinition, Storage};
use holdfast_schemas::{Message as _, limits, subject};
use holdfast_storage::{Copy, Engine, TransactionLimits};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, info, warn};

use crate::applier::RemoteWrites;
use crate::background;
use crate::fault::{self, Step};
use crate::log::{LogStanding, Passage, Subscription, find, sight_of};
use crate::member::Member;
use crate::model::{Position, Replication, Shortage};
use crate::set_aside::MADE_ANEW;
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
/// How often it is looked whether the log is still there.
const LOOK: Duration = Duration::from_secs(1);
/// SurrealDB would take such a copy for one of an old version, and write that into the log: from then on no copy could be opened.
const LACKS_VERSION: &str = "the copy has data and no version of SurrealDB's storage: a part of it is missing";
/// How often progress is reported while catching up.
const PROGRESS: Duration = Duration::from_secs(2);

/// A copy that was taken up, and the log from its next position on.
pub struct TakenUp {
    /// The copy's state.
    pub restored: Restored,
    /// The log.
    pub subscription: Subscription,
    /// How this copy stands to it: it was compared.
    pub standing: LogStanding,
}

/// Restores the copy's state and subscribes to the log, waiting for it to be reachable: a NATS server may go while this process
/// starts. An empty copy waits for the log to be made as well.
///
/// # Errors
/// When the copy and the log do not belong together.
pub async fn take_up(copy: &Copy, context: &jetstream::Context, group: &str) -> Result<TakenUp, RestoreError> {
    let stream = subject::log_stream(group);
    let mut patience = Patience::new(group);
    let restored = loop {
        match restore(copy, context, &stream, STORAGE_VERSION).await {
            Err(error) if error.is_transient() => patience.wait(&error).await,
            result => break result?,
        }
    };
    fault::reach(Step::BeforeSubscribe, true);
    let standing = LogStanding::new(context.client());
    let known = restored.known;
    loop {
        let connects = standing.connects();
        match Subscription::open(context, &stream, known.position + 1, &known).await.map_err(RestoreError::from) {
            Ok(subscription) => {
                standing.compared(connects);
                return Ok(TakenUp { restored, subscription, standing });
            }
            Err(error) if error.is_transient() || (known.position == 0 && error.is_missing()) => {
                patience.wait(&error).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Waits between attempts, and says now and then what for.
struct Patience<'a> {
    group: &'a str,
    began: Instant,
    reported: Option<Instant>,
}

/// A group that is being defined has its log by then.
const DEFINED_WITHIN: Duration = Duration::from_secs(10);

impl<'a> Patience<'a> {
    fn new(group: &'a str) -> Self {
        Self { group, began: Instant::now(), reported: None }
    }

    async fn wait(&mut self, error: &RestoreError) {
        if self.reported.is_none_or(|at| at.elapsed() > Duration::from_secs(5)) {
            self.reported = Some(Instant::now());
            if error.is_missing() && self.began.elapsed() > DEFINED_WITHIN {
                warn!(
                    group = self.group,
                    error = %chain(error),
                    "still waiting for the group's log: define the group with `holdfast group define`, or correct its name in \
                     this CSP's configuration"
                );
            } else {
                info!(group = self.group, error = %chain(error), "trying again to subscribe to the log");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Looks every second whether the log is still the one that was compared, for as long as nothing else says so; a doubt makes
/// the applier compare it anew. That the log does not keep what copies need is told, and changes nothing else.
pub async fn look_at_log(member: Arc<Member>, context: jetstream::Context) {
    let (standing, stream) = (&member.shared.standing, subject::log_stream(&member.identity.group));
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if standing.is_reconnected() {
            standing.doubt();
        }
        if standing.passage() != Passage::Open {
            continue;
        }
        // Read before the question: what is applied meanwhile is no longer than the log.
        let (known, needed) = (standing.known(), needed_again(&member));
        let fits = match tokio::time::timeout(LOOK, find(&context, &stream)).await {
            Ok(Ok(log)) => {
                let info = log.cached_info();
                let sight = sight_of(info);
                let fits = known.compare(&sight).is_ok();
                if fits {
                    tell_shortage(&member, Shortage::find(&sight, needed, log_stream::drops(&info.config)));
                }
                fits
            }
            Ok(Err(error)) => error.parting_code().is_none(),
            Err(_) => true,
        };
        if !fits {
            standing.doubt();
        }
    }
}

/// The first position of the log that this copy reads when it is started again.
fn needed_again(member: &Member) -> Position {
    match member.identity.storage {
        Storage::Surrealkv => member.shared.certifier.lock().state().horizon + 1,
        Storage::Mem => 1,
    }
}

/// Says once what the log lacks; the status says it for as long as it does.
fn tell_shortage(member: &Member, shortage: Option<Shortage>) {
    let csp = &member.identity.csp;
    match (member.shared.standing.lacks(shortage), shortage) {
        (true, Some(shortage)) => warn!(csp, "{shortage}"),
        (true, None) => info!(csp, "the log keeps everything that copies need again"),
        (false, _) => {}
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
    let csp = &member.identity.csp;
    loop {
        match member.copy.lacks_version().await.map_err(|error| chain(&error)) {
            Ok(false) => {}
            lacks_version => {
                let why = lacks_version.err().unwrap_or_else(|| format!("{LACKS_VERSION}{MADE_ANEW}"));
                if member.set_storage_error(why.clone()) {
                    error!(csp, why, "surrealdb is not opened on this copy");
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        match try_open(member).await {
            Ok(database) => return database,
            Err(error) => {
                if error.is_of_storage() && member.set_storage_error(chain(&error)) {
                    error!(csp, error = %chain(&error), "the storage of this copy fails");
                }
                warn!(csp, error = %chain(&error), "surrealdb cannot be opened yet");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Opens SurrealDB on the copy as it stands; what it does by itself from then on has threads of its own.
///
/// # Errors
/// When SurrealDB refuses.
pub async fn try_open(member: &Arc<Member>) -> Result<Arc<Database>, OpenError> {
    let owner = Arc::clone(member);
    let opened = background::spawn(async move { open(&owner).await });
    opened.await.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))
}

async fn open(member: &Arc<Member>) -> Result<Arc<Database>, OpenError> {
    let log = member.committer();
    let engine = Engine::new(member.copy.clone(), Arc::new(log), TRANSACTION_LIMITS);
    let name = format!("{}/{}", member.identity.group, member.identity.csp);
    let node_id = xxhash_rust::xxh3::xxh3_128(name.as_bytes()).to_be_bytes();
    let database = Database::open(OpenOptions { engine: Box::new(engine), node_id }).await?;
    if may_write(member) && member.shared.standing.parted().is_none() {
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
