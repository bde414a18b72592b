//! The service: subscriptions, the tasks behind them, and their end.
//!
//! Ready means: the groups are known and requests are subscribed to. At the end it stops taking requests, sends on what the
//! server had already handed over, follows every request until it has its answer, and only then leaves the bus.

use crate::assignment;
use crate::config::ExecutionConfig;
use crate::definitions::Definitions;
use crate::forward::{Counters, Forwarder};
use crate::intake::Intake;
use crate::lookup::Lookup;
use crate::model::lock::LockVerb;
use crate::model::request::{Kind, Verb};
use crate::perform::Performer;
use crate::router::Router;
use crate::{doubts, news, sweep};
use holdfast_foundation::bus::pauses::Pauses;
use holdfast_foundation::{BoxError, Context, Service};
use holdfast_schemas::message::{Completions, CspStateChange, Heartbeat, NodeStateChange};
use holdfast_schemas::subject;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Every group, as a subject token.
const ANY_GROUP: &str = "*";

/// The execution service.
pub struct Execution;

impl Service for Execution {
    const NAME: &'static str = "execution";
    type Config = ExecutionConfig;

    async fn start(config: ExecutionConfig, ctx: Context) -> Result<(), BoxError> {
        config.check()?;
        // Differs after every start, and grows with time: the instance that has run longest has the least name, and leads.
        let instance = ulid::Ulid::generate().to_string();
        let performer = performer(&config, &ctx, &instance);
        let definitions = Definitions::new(ctx.bus.jetstream().clone());
        let mut background = JoinSet::new();
        listen(&mut background, &performer, &instance).await?;
        background.spawn(sweep::sweep(performer.clone()));
        let (loaded, mut is_loaded) = watch::channel(false);
        let (bucket, follower) = (definitions.clone(), performer.clone());
        background.spawn(async move { bucket.follow(follower, loaded).await });
        tokio::select! {
            loaded = is_loaded.wait_for(|loaded| *loaded) => drop(loaded?),
            () = ctx.shutdown.requested() => return Ok(()),
        }
        doubts::recall(&performer, ctx.bus.jetstream()).await;
        serve(&config, &ctx, performer, definitions, instance).await
    }
}

fn performer(config: &ExecutionConfig, ctx: &Context, instance: &str) -> Performer {
    let client = ctx.bus.client().clone();
    Performer {
        forwarder: Arc::new(Forwarder::new(client.clone(), instance.to_owned())),
        router: Arc::new(Router::new(config.policy())),
        client,
        clock: Arc::clone(&ctx.clock),
        probe_timeout: Duration::from_millis(config.probe_timeout_ms),
    }
}

/// Follows heartbeats, verdicts, and the notes of what CSPs are done with.
async fn listen(background: &mut JoinSet<()>, performer: &Performer, instance: &str) -> Result<(), BoxError> {
    let client = &performer.client;
    let beats = client.subscribe(subject::heartbeats(ANY_GROUP)).await?;
    background.spawn(news::follow::<Heartbeat>(performer.clone(), beats, Router::heard));
    let verdicts = client.subscribe(subject::event(ANY_GROUP, subject::EVENT_CSP_STATE)).await?;
    background.spawn(news::follow::<CspStateChange>(performer.clone(), verdicts, Router::judged));
    let nodes = client.subscribe(subject::event(ANY_GROUP, subject::EVENT_NODE_STATE)).await?;
    background.spawn(news::follow::<NodeStateChange>(performer.clone(), nodes, Router::node_judged));
    let notes = client.subscribe(subject::completions(instance)).await?;
    background.spawn(news::follow::<Completions>(performer.clone(), notes, Router::completed));
    Ok(())
}

async fn serve(
    config: &ExecutionConfig,
    ctx: &Context,
    performer: Performer,
    definitions: Definitions,
    instance: String,
) -> Result<(), BoxError> {
    let client = ctx.bus.client().clone();
    let lookup = Arc::new(Lookup::new(config, performer.clone(), definitions));
    let pauses = Arc::new(Pauses::default());
    let mut watching = tokio::spawn(Arc::clone(&pauses).watch(client.clone()));
    let intake = Intake { performer: performer.clone(), lookup: Arc::clone(&lookup), pauses };
    let queue = subject::queue(Execution::NAME);
    let mut intakes = JoinSet::new();
    let transactions = Verb::ALL.map(|verb| (Kind::Transaction(verb), subject::transaction(ANY_GROUP, verb.name())));
    let requests = [(Kind::Update, subject::update(ANY_GROUP)), (Kind::Query, subject::query(ANY_GROUP))];
    let locks = LockVerb::ALL.map(|verb| (Kind::Lock(verb), subject::lock(ANY_GROUP, verb.name())));
    for (kind, subject) in requests.into_iter().chain(transactions).chain(locks) {
        let requests = ctx.bus.queue_requests(subject, queue.clone()).await?;
        let shutdown = ctx.shutdown.clone();
        intakes.spawn(intake.clone().run(kind, requests, async move { shutdown.requested().await }));
    }
    ctx.bus.settle().await?;
    // Not before the subscriptions: the server makes a bucket before it reads on.
    let assigning = tokio::spawn(assignment::run(config.clone(), ctx.clone(), instance));
    ctx.ready("updates and queries are taken");
    tokio::select! {
        () = async { while intakes.join_next().await.is_some() {} } => {}
        // Without it every request would seem to have lain here for too long.
        ended = &mut watching => {
            ended??;
            return Err("pauses of this process are not watched any more".into());
        }
    }
    if !ctx.shutdown.is_requested() {
        return Err("the subscriptions ended: the connection to nats is closed".into());
    }
    lookup.emptied().await;
    sweep::emptied(&performer).await;
    assigning.await??;
    watching.abort();
    client.flush().await?;
    told(&performer.forwarder.counters);
    Ok(())
}

fn told(counters: &Counters) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    tracing::info!(
        forwarded = count(&counters.forwarded),
        sent_again = count(&counters.sent_again),
        refused = count(&counters.refused),
        waited = count(&counters.waited),
        "requests"
    );
}
