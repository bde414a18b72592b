//! A copy that cannot start because it and the log do not belong together, or the log is gone.
//!
//! It stays up and is quarantined: it says why, to whoever asks and in its heartbeats, and answers the queries that need no log,
//! as of where it stands. It does not end in a loop of starts, and empties nothing. When the log that belongs to it is there
//! again it starts like any other.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use holdfast_datastore::STORAGE_VERSION;
use holdfast_foundation::{BoxError, Context, chain};
use holdfast_schemas::message::SupervisionPolicy;
use holdfast_storage::Copy;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::config::ReplicationConfig;
use crate::log::LogStanding;
use crate::member::Member;
use crate::requests;
use crate::service::{OwnPast, Started};
use crate::start_up::{self, TakenUp};
use crate::store::{RestoreError, Restored};
use crate::{heartbeat, log_watch, policy};

/// How often it is tried again to take the copy up.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Stands aside until the copy can be taken up; none when the process is to stop.
///
/// # Errors
/// When nothing can be served at all.
pub async fn stand_aside(
    config: &ReplicationConfig,
    copy: Copy,
    cause: &RestoreError,
    ctx: &Context,
) -> Result<Option<(Copy, TakenUp)>, BoxError> {
    let restored = Restored::standing_still(&copy, STORAGE_VERSION).await?;
    let standing = LogStanding::new(ctx.bus.client().clone());
    let started = Started::new(config, requests::now_ms(), copy.clone(), restored, OwnPast::default(), standing, ctx);
    let Started { member, publisher, .. } = started;
    let context = ctx.bus.jetstream().clone();
    let (csp, position) = (&member.identity.csp, member.shared.view.position());
    error!(csp, position, error = %chain(cause), "this copy cannot start, and is set aside");
    if let Some(code) = cause.parting_code() {
        member.shared.standing.part(code, chain(cause));
    }
    let mut tasks = JoinSet::new();
    let (told, policies) = watch::channel(SupervisionPolicy::default());
    tasks.spawn(policy::follow(context.clone(), member.identity.clone(), told));
    tasks.spawn(heartbeat::send(Arc::clone(&member), policies));
    let (group, name) = (member.identity.group.clone(), csp.clone());
    tasks.spawn(Arc::clone(&member.notes).send(member.client.clone(), group, name));
    tasks.spawn(publisher.run());
    tasks.spawn(open_for_reading(Arc::clone(&member)));
    let mut intake = requests::serve(&member, &ctx.bus).await?;
    let told_to_stop = Arc::clone(&intake.told_to_stop);
    log_watch::tell(&member).await;
    ctx.ready("only queries that need no log are taken: the copy is set aside");
    let taken_up = tokio::select! {
        taken_up = take_up_again(&member, &context) => Some(taken_up),
        () = ctx.shutdown.requested() => None,
        () = told_to_stop.notified() => None,
    };
    intake.stop();
    member.notes.send_now(&member.client, &member.identity.group, &member.identity.csp).await;
    if let Some(database) = member.database.get() {
        database.shutdown().await;
    }
    tasks.shutdown().await;
    match taken_up {
        Some(taken_up) => Ok(Some((copy, taken_up))),
        None => copy.close().await.map(|()| None).map_err(BoxError::from),
    }
}

/// Tries again until the copy and the log belong together.
async fn take_up_again(member: &Member, context: &jetstream::Context) -> TakenUp {
    loop {
        tokio::time::sleep(TRY_AGAIN).await;
        match start_up::take_up(&member.copy, context, &member.identity.group).await {
            Ok(taken_up) => {
                info!(csp = member.identity.csp, "the copy and the log belong together again");
                return taken_up;
            }
            Err(cause) => {
                if let Some(code) = cause.parting_code()
                    && member.shared.standing.part(code, chain(&cause))
                {
                    warn!(csp = member.identity.csp, error = %chain(&cause), "this copy still cannot start");
                    log_watch::tell(member).await;
                }
            }
        }
    }
}

/// Opens SurrealDB on the copy, if there is one in it.
async fn open_for_reading(member: Arc<Member>) {
    if member.shared.view.position() == 0 {
        return;
    }
    match start_up::try_open(&member).await {
        Ok(database) => drop(member.database.set(database)),
        Err(cause) => warn!(csp = member.identity.csp, error = %chain(&cause), "the copy cannot be read either"),
    }
}
