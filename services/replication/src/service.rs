//! The service: one process, one CSP.

use std::sync::Arc;
use std::time::Duration;

use holdfast_datastore::STORAGE_VERSION;
use holdfast_foundation::{BoxError, Context, Service, chain};
use holdfast_schemas::message::{CspState, Storage, SupervisionPolicy};
use holdfast_schemas::{ErrorCode, limits, subject};
use holdfast_storage::{Copy, CopyOptions, StorageKind};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::abandon::{give_up, keep_abandoning};
use crate::applier::{Applier, ApplyError};
use crate::config::ReplicationConfig;
use crate::forward::Forward;
use crate::log::{Gateway, LogError, LogStanding, Origin, Publisher, PublisherOptions, Subscription};
use crate::member::{Identity, Member};
use crate::requests::{self, now_ms};
use crate::start_up::{self, TakenUp};
use crate::store::{RestoreError, Restored, WRITE_BUFFER_MIN_BYTES};
use crate::{background, fault, heartbeat, log_watch, namesake, policy, set_aside, wake};

/// The replication service.
pub struct Replication;

/// Bytes of a message that headers and protocol take away from the server's limit.
const MESSAGE_OVERHEAD_BYTES: usize = 4096;

impl Service for Replication {
    const NAME: &'static str = "replication";
    type Config = ReplicationConfig;

    async fn start(config: ReplicationConfig, ctx: Context) -> Result<(), BoxError> {
        let config = config.complete()?;
        fault::load()?;
        wake::now_and_then()?;
        background::start()?;
        let started_at_ms = now_ms();
        config.memory_bounds().set();
        let options = copy_options(&config);
        let mut own = OwnPast::default();
        loop {
            namesake::refuse_a_second(&ctx.bus, &config).await?;
            let Some((copy, taken_up)) = set_aside::until_taken_up(&config, &options, started_at_ms, &ctx).await?
            else {
                return Ok(());
            };
            let TakenUp { restored, subscription, standing } = taken_up;
            // One that stood aside was another process as far as everybody else is concerned: what it was asked is over.
            let started = Started::new(&config, now_ms().max(started_at_ms + 1), copy, restored, own, standing, &ctx);
            match started.run(&ctx, subscription).await? {
                Ended::InOrder => return Ok(()),
                Ended::BehindItsPast(past) => own = past,
            }
        }
    }
}

/// The highest incarnation that a process has met of its own CSP in what the log held when it started.
#[derive(Clone, Copy, Default)]
pub(crate) struct OwnPast {
    incarnation: u64,
}

/// How a run ended without a fault.
enum Ended {
    /// It was told to end.
    InOrder,
    /// An earlier process of this CSP had a higher incarnation, because the clock was set back since and the copy does not have
    /// what it wrote. The next run goes above that; in memory nothing else would know of it.
    BehindItsPast(OwnPast),
}

/// A copy could not be taken up.
pub(crate) enum TakeUpFailure {
    /// It can be read, and it and the log do not belong together.
    Parted(Copy, RestoreError),
    /// It cannot be used.
    Copy(BoxError),
}

/// Opens the copy, restores its state and subscribes to the log.
pub(crate) async fn take_up(
    config: &ReplicationConfig,
    options: &CopyOptions,
    ctx: &Context,
) -> Result<(Copy, TakenUp), TakeUpFailure> {
    let copy = Copy::open(options).await.map_err(|cause| TakeUpFailure::Copy(cause.into()))?;
    match start_up::take_up(&copy, ctx.bus.jetstream(), &config.group).await {
        Ok(taken_up) => Ok((copy, taken_up)),
        Err(cause) if cause.parting_code().is_some() => Err(TakeUpFailure::Parted(copy, cause)),
        Err(cause) => {
            // Its lock has to be free for the next attempt. What went wrong is said already.
            let _ = copy.close().await;
            Err(TakeUpFailure::Copy(cause.into()))
        }
    }
}

fn copy_options(config: &ReplicationConfig) -> CopyOptions {
    let kind = match config.storage {
        Storage::Surrealkv => StorageKind::SurrealKv,
        Storage::Mem => StorageKind::Memory,
    };
    let (path, memory_bytes) = (config.data_dir.clone(), config.memory_mb << 20);
    CopyOptions { kind, path, memory_bytes, write_buffer_min_bytes: WRITE_BUFFER_MIN_BYTES }
}

/// The incarnation of a process: later ones are higher, and two that start at the same time, or meet the same past, do not get the
/// same one. Nobody could tell their entries apart.
fn incarnation_above(known: u64, started_at_ms: u64) -> u64 {
    const CHOICES: u128 = 1_000_000;
    let choice = u64::try_from(ulid::Ulid::generate().random() % CHOICES).unwrap_or_default();
    (started_at_ms * 1_000 + choice % 1_000).max(known + 1 + choice)
}

/// A CSP whose copy is restored.
pub(crate) struct Started {
    pub(crate) member: Arc<Member>,
    applier: Applier,
    pub(crate) publisher: Publisher,
}

impl Started {
    pub(crate) fn new(
        config: &ReplicationConfig,
        started_at_ms: u64,
        copy: Copy,
        restored: Restored,
        own: OwnPast,
        standing: LogStanding,
        ctx: &Context,
    ) -> Self {
        let client = ctx.bus.client().clone();
        let in_copy = restored.certifier.origin(&config.csp).map_or(0, |origin| origin.incarnation);
        let known = in_copy.max(own.incarnation);
        let origin = Origin { csp: config.csp.clone(), incarnation: incarnation_above(known, started_at_ms) };
        let (gateway, queue) = Gateway::new(origin);
        let gateway = Arc::new(gateway);
        let (applier, shared) = Applier::new(copy.clone(), restored, Arc::clone(&gateway), Arc::new(standing));
        let message_max_bytes =
            limits::LOG_MESSAGE_MAX_BYTES.min(client.server_info().max_payload.saturating_sub(MESSAGE_OVERHEAD_BYTES));
        let options = PublisherOptions {
            subject: subject::log(&config.group),
            stream: subject::log_stream(&config.group),
            storage_version: STORAGE_VERSION,
            message_max_bytes,
            in_flight_max: config.in_flight_max,
            stall: Duration::from_millis(config.stall_ms),
        };
        let view = Arc::clone(&shared.view);
        let standing = Arc::clone(&shared.standing);
        let publisher =
            Publisher::new(client.clone(), options, Arc::clone(&gateway), Arc::clone(&view), standing, queue);
        let forward =
            Arc::new(Forward::new(client.clone(), config.group.clone(), Arc::clone(&gateway), view, message_max_bytes));
        let identity = Identity {
            group: config.group.clone(),
            csp: config.csp.clone(),
            node: config.node.clone(),
            storage: config.storage,
            started_at_ms,
        };
        let member = Arc::new(Member::new(identity, client, gateway, shared, copy, forward));
        Self { member, applier, publisher }
    }

    async fn run(self, ctx: &Context, subscription: Subscription) -> Result<Ended, BoxError> {
        let Self { member, applier, publisher } = self;
        let context = ctx.bus.jetstream().clone();
        let target = subscription.end();
        member.shared.freshness.heard(target, member.shared.view.position(), Instant::now());
        let mut tasks = JoinSet::new();
        let (told, policies) = watch::channel(SupervisionPolicy::default());
        tasks.spawn(policy::follow(context.clone(), member.identity.clone(), told));
        tasks.spawn(heartbeat::send(Arc::clone(&member), policies.clone()));
        let Identity { group, csp, .. } = member.identity.clone();
        tasks.spawn(Arc::clone(&member.notes).send(member.client.clone(), group, csp));
        let listener = Arc::clone(&member);
        let mut listening = tokio::spawn(async move {
            heartbeat::listen(listener).await.unwrap_or_else(|cause| {
                warn!(error = %cause, "the heartbeats of the others cannot be heard");
                None
            })
        });
        let (pauses, client) = (Arc::clone(&member.pauses), member.client.clone());
        tasks.spawn(async move {
            if let Err(cause) = pauses.watch(client).await {
                warn!(error = %cause, "pauses of this process cannot be noticed");
            }
        });
        tasks.spawn(publisher.run());
        tasks.spawn(log_watch::follow(Arc::clone(&member)));
        tasks.spawn(start_up::look_at_log(Arc::clone(&member), context.clone()));
        let (owner, log) = (Arc::clone(&member), context.clone());
        let mut applying = tokio::spawn(async move { apply_for_ever(applier, subscription, owner, log).await });
        let mut intake = requests::serve(&member, &ctx.bus).await?;
        let told_to_stop = Arc::clone(&intake.told_to_stop);
        let opening = async {
            start_up::catch_up(&member, target).await;
            let database = start_up::open_database(&member, &context).await;
            let notified = Arc::new(start_up::Notified(Arc::clone(&database)));
            let _ = member.shared.remote_writes.set(notified);
            let _ = member.database.set(Arc::clone(&database));
            background::spawn(start_up::join(Arc::clone(&member), database));
            member.set_state(CspState::Available, None);
            heartbeat::send_now(&member).await;
            ctx.ready("requests are taken");
            match member.database.get() {
                Some(database) => database.spent().await,
                None => std::future::pending().await,
            }
        };
        let mut replaced = None;
        let ended = tokio::select! {
            () = opening => {
                error!(csp = member.identity.csp, "statements hold memory that they do not give back: this process ends in order");
                replaced = Some(BoxError::from("statements could not be stopped, and what they hold is lost to this process"));
                None
            }
            () = ctx.shutdown.requested() => None,
            () = told_to_stop.notified() => None,
            ended = &mut applying => Some(ended),
            Ok(Some(theirs)) = &mut listening => Some(Ok(ApplyError::Namesake { theirs })),
        };
        let mut outcome = Ended::InOrder;
        let fatal = match ended {
            Some(Ok(ApplyError::BehindItsPast { theirs })) => {
                warn!(
                    csp = member.identity.csp,
                    theirs, "an earlier process had a later clock: this one begins anew above it"
                );
                outcome = Ended::BehindItsPast(OwnPast { incarnation: theirs });
                None
            }
            // The copy and the log do not belong together: say so for as long as anybody may ask.
            Some(Ok(cause)) if cause.sets_aside() => {
                ctx.ready("only queries that need no log are taken: the copy is set aside");
                tokio::select! {
                    () = ctx.shutdown.requested() => {}
                    () = told_to_stop.notified() => {}
                    () = keep_abandoning(&member.gateway) => {}
                }
                None
            }
            Some(Ok(cause)) => {
                if let ApplyError::Copy(cause) = &cause {
                    let _ = member.set_storage_error(chain(cause));
                }
                Some(BoxError::from(cause))
            }
            Some(Err(cause)) => Some(BoxError::from(cause)),
            None => replaced,
        };
        match outcome {
            // It took no requests yet, and is not the primary that its past may have been.
            Ended::BehindItsPast(_) => intake.end().await,
            Ended::InOrder => tokio::select! {
                () = stop(&member, &mut intake, &policies) => {}
                () = give_up(&member.gateway, &applying, STOP_MAX) => {
                    warn!(csp = member.identity.csp, "what is under way is abandoned: nothing is applied any more");
                }
            },
        }
        applying.abort();
        listening.abort();
        tasks.abort_all();
        member.gateway.abandon();
        member.copy.close().await?;
        fatal.map_or(Ok(outcome), Err)
    }
}

/// Applies the log, over interruptions of the subscription, until the copy may not go on.
async fn apply_for_ever(
    mut applier: Applier,
    subscription: Subscription,
    member: Arc<Member>,
    context: async_nats::jetstream::Context,
) -> ApplyError {
    let stream = subject::log_stream(&member.identity.group);
    let standing = Arc::clone(&member.shared.standing);
    let mut next = Some(subscription);
    let mut compared_at = Instant::now();
    loop {
        let cause = match next.take() {
            Some(subscription) => {
                let cause = applier.run(subscription).await;
                compared_at = Instant::now();
                cause
            }
            None => {
                let (connects, known) = (standing.connects(), standing.known());
                match Subscription::open(&context, &stream, known.position + 1, &known).await {
                    Ok(subscription) => {
                        if standing.compared(connects) {
                            info!(csp = member.identity.csp, "the log goes on where this copy is again");
                        }
                        compared_at = Instant::now();
                        let freshness = &member.shared.freshness;
                        freshness.heard(subscription.end(), known.position, Instant::now());
                        next = Some(subscription);
                        continue;
                    }
                    Err(cause) => ApplyError::from(cause),
                }
            }
        };
        if let ApplyError::Log(log) = &cause
            && let Some(code) = log.parting_code()
        {
            if standing.part(code, chain(log)) {
                let (csp, position) = (&member.identity.csp, member.shared.view.position());
                error!(csp, position, error = %chain(log), "this copy and its log have parted: no updates are taken");
            }
            tokio::time::sleep(PARTED_LOOK).await;
            continue;
        }
        if matches!(cause, ApplyError::BehindItsPast { .. }) {
            return cause;
        }
        if !cause.is_transient() {
            let (csp, position) = (&member.identity.csp, member.shared.view.position());
            error!(csp, position, error = %chain(&cause), "this copy cannot go on");
            member.set_state(CspState::Quarantined, Some(chain(&cause)));
            if cause.sets_aside() {
                // Nothing is sent that could never be seen to come out of the log. The code is about this copy alone: `log_lost`
                // would keep the others from writing.
                standing.part(ErrorCode::Quarantined, chain(&cause));
            }
            heartbeat::send_now(&member).await;
            return cause;
        }
        if matches!(cause, ApplyError::Log(LogError::Silent)) {
            let (csp, position) = (&member.identity.csp, member.shared.view.position());
            warn!(csp, position, "{}: subscribing anew", chain(&cause));
        }
        standing.be_unsure();
        if compared_at.elapsed() > UNREACHABLE_MAX {
            standing.unreachable(format!("the log cannot be reached: {}", chain(&cause)));
        }
        // A doubt is to be ended at once: whoever wants to send waits for it.
        if !matches!(cause, ApplyError::Log(LogError::Doubted)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// For so long updates wait for a log that cannot be reached; then they are refused.
const UNREACHABLE_MAX: Duration = Duration::from_millis(1_200);
/// How often a log that does not fit is looked at again.
const PARTED_LOOK: Duration = Duration::from_secs(1);

/// How long a stop may take whose applier has ended: some of what is under way waits for a primary, or for its deadline.
const STOP_MAX: Duration = Duration::from_secs(10);

/// How long a primary that stops waits for another one to take over, where there is one that could.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);

/// Hands over, takes no more requests, lets those under way finish, and ends SurrealDB.
async fn stop(member: &Arc<Member>, intake: &mut requests::Intake, policies: &watch::Receiver<SupervisionPolicy>) {
    member.set_state(CspState::Draining, None);
    heartbeat::send_now(member).await;
    let hand_over_until = Instant::now() + HAND_OVER_MAX;
    // One that was silent for longer would be suspect, and is given no task.
    let silence_max = Duration::from_millis(policies.borrow().suspect_after_ms());
    while member.is_primary()
        && member.shared.freshness.others_available(silence_max, Instant::now())
        && Instant::now() < hand_over_until
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Bounded by the grace of the life cycle, which ends the process after it, and by `give_up`.
    let mut only_queries = None;
    while !requests::has_answered_all(member, &mut only_queries) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if member.outstanding() > 0 {
        member.set_state(CspState::Maintenance, None);
        heartbeat::send_now(member).await;
    }
    while member.outstanding() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    intake.stop();
    member.notes.send_now(&member.client, &member.identity.group, &member.identity.csp).await;
    if let Some(database) = member.database.get() {
        database.shutdown().await;
    }
}
