//! A CSP whose copy cannot be taken up: a file is damaged or missing, another process has it, the disk is full.
//!
//! It does not end, which would look like a process that dies and is started over and over. It is there without its copy,
//! quarantined: it says why in its heartbeats and its status, takes no requests, does what it is told, and tries again now and
//! then, because a lock is released and a disk gets room. Nothing of the copy is changed but the end of its journal that is not
//! whole, which is kept beside it: whether the copy is to be thrown away is for people to say. A copy that can be read, and does not belong to the log, is set aside in another way: it answers what it can
//! (`aside`).

use std::sync::Arc;
use std::time::Duration;

use holdfast_datastore::STORAGE_VERSION;
use holdfast_foundation::{BoxError, Context, chain};
use holdfast_schemas::message::{CspState, SupervisionPolicy};
use holdfast_storage::{Copy, CopyOptions, StorageKind};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::aside::stand_aside;
use crate::config::ReplicationConfig;
use crate::log::LogStanding;
use crate::member::Member;
use crate::requests::{self, Intake};
use crate::service::{OwnPast, Started, TakeUpFailure, take_up};
use crate::start_up::TakenUp;
use crate::store::Restored;
use crate::{heartbeat, policy};

/// When it is tried again for the first time.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// The pause doubles up to this: what was read in vain may be large.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The copy could not be opened, and is locked since, most likely by this very process: start it again.
#[derive(Debug, thiserror::Error)]
#[error("an attempt to open the copy failed and left it locked, so this process ends: a new one tries again ({cause})")]
struct SelfLocked {
    cause: String,
}

/// Whether somebody has the copy's folder. SurrealKV says so in words only.
fn is_locked(cause: &str) -> bool {
    cause.contains("already locked by another process")
}

/// Takes up the copy, however long that takes. `None` when the process is to end first.
///
/// # Errors
/// When requests cannot be subscribed to.
pub async fn until_taken_up(
    config: &ReplicationConfig,
    options: &CopyOptions,
    started_at_ms: u64,
    ctx: &Context,
) -> Result<Option<(Copy, TakenUp)>, BoxError> {
    let mut aside: Option<SetAside> = None;
    let (mut pause, mut was_locked) = (RETRY_MIN, false);
    loop {
        let attempted = tokio::select! {
            attempted = take_up(config, options, ctx) => attempted,
            () = told_to_end(aside.as_ref(), ctx) => return Ok(None),
        };
        let cause = match attempted {
            Ok(taken_up) => {
                if aside.is_some() {
                    info!(csp = config.csp, "the copy can be taken up, this CSP goes on");
                }
                return Ok(Some(taken_up));
            }
            Err(TakeUpFailure::Parted(copy, cause)) => {
                // It is there with its copy now.
                drop(aside.take());
                return stand_aside(config, copy, &cause, ctx).await;
            }
            Err(TakeUpFailure::Copy(cause)) => chain(cause.as_ref()),
        };
        match &aside {
            // What failed half-way holds the folder's lock, and only the end of this process gives that back.
            Some(_) if is_locked(&cause) && !was_locked => return Err(SelfLocked { cause }.into()),
            Some(there) => {
                if there.member.set_storage_error(said(&cause)) {
                    error!(csp = config.csp, cause, "the copy still cannot be taken up, for another reason");
                }
            }
            None => {
                error!(csp = config.csp, cause, "the copy cannot be taken up: this CSP is set aside, and tries again");
                was_locked = is_locked(&cause);
                aside = Some(SetAside::begin(config, started_at_ms, ctx, &cause).await?);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = RETRY_MAX.min(pause * 2),
            () = told_to_end(aside.as_ref(), ctx) => return Ok(None),
        }
    }
}

async fn told_to_end(aside: Option<&SetAside>, ctx: &Context) {
    match aside {
        None => ctx.shutdown.requested().await,
        Some(there) => tokio::select! {
            () = ctx.shutdown.requested() => {}
            () = there.intake.told_to_stop.notified() => {}
        },
    }
}

/// What heartbeats and status say of it.
fn said(cause: &str) -> String {
    let advice = if is_locked(cause) { "" } else { MADE_ANEW };
    format!("its copy cannot be taken up, which is tried again: {cause}{advice}")
}

/// What helps where trying again does not, as with a file that a full disk cut off.
pub const MADE_ANEW: &str = ". If that stays, stop this CSP, move the folder of its copy aside and start it again: the copy is made anew \
                         from the log";

/// What is there in place of a CSP; it ends when it is dropped.
struct SetAside {
    member: Arc<Member>,
    intake: Intake,
    _tasks: JoinSet<()>,
}

impl SetAside {
    async fn begin(
        config: &ReplicationConfig,
        started_at_ms: u64,
        ctx: &Context,
        cause: &str,
    ) -> Result<Self, BoxError> {
        // Stands where the copy would: nothing is ever applied to it, and nobody is answered from it.
        let none = CopyOptions {
            kind: StorageKind::Memory,
            path: std::path::PathBuf::new(),
            memory_bytes: 0,
            write_buffer_min_bytes: 0,
        };
        let copy = Copy::open(&none).await?;
        let restored = Restored::empty(STORAGE_VERSION);
        let standing = LogStanding::new(ctx.bus.client().clone());
        let Started { member, .. } =
            Started::new(config, started_at_ms, copy, restored, OwnPast::default(), standing, ctx);
        // Without a reason of its own: it is the newest cause, which changes while the copy is tried again.
        member.set_state(CspState::Quarantined, None);
        let _ = member.set_storage_error(said(cause));
        let mut tasks = JoinSet::new();
        let (told, policies) = watch::channel(SupervisionPolicy::default());
        tasks.spawn(policy::follow(ctx.bus.jetstream().clone(), member.identity.clone(), told));
        tasks.spawn(heartbeat::send(Arc::clone(&member), policies));
        let (notes, client) = (Arc::clone(&member.notes), member.client.clone());
        tasks.spawn(notes.send(client, config.group.clone(), config.csp.clone()));
        let intake = requests::serve(&member, &ctx.bus).await?;
        ctx.ready("the copy cannot be taken up: requests are refused, and its status says why");
        Ok(Self { member, intake, _tasks: tasks })
    }
}
