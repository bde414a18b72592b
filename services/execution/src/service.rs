//! The service: subscriptions, the tasks behind them, and their end.
//!
//! Ready means: the groups are known and requests are subscribed to. At the end it stops taking requests, sends on what the
//! server had already handed over, lets those that wait find their CSP or their answer, and only then leaves the bus.

use crate::assignment;
use crate::config::ExecutionConfig;
use crate::definitions::Definitions;
use crate::forward::{Counters, Forwarder};
use crate::heartbeats;
use crate::intake::Intake;
use crate::model::request::Kind;
use crate::router::Router;
use crate::waiting::WaitingRoom;
use holdfast_foundation::{BoxError, Context, Service};
use holdfast_schemas::subject;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
        let client = ctx.bus.client().clone();
        let router = Arc::new(Router::new(config.heartbeat_interval_ms));
        let definitions = Definitions::new(ctx.bus.jetstream().clone());
        let mut background = JoinSet::new();
        let beats = client.subscribe(subject::heartbeats(ANY_GROUP)).await?;
        background.spawn(heartbeats::follow(Arc::clone(&router), beats, Arc::clone(&ctx.clock)));
        let (loaded, mut is_loaded) = watch::channel(false);
        let (bucket, table) = (definitions.clone(), Arc::clone(&router));
        background.spawn(async move { bucket.follow(table, loaded).await });
        tokio::select! {
            loaded = is_loaded.wait_for(|loaded| *loaded) => drop(loaded?),
            () = ctx.shutdown.requested() => return Ok(()),
        }
        serve(&config, &ctx, router, definitions).await
    }
}

async fn serve(
    config: &ExecutionConfig,
    ctx: &Context,
    router: Arc<Router>,
    definitions: Definitions,
) -> Result<(), BoxError> {
    let client = ctx.bus.client().clone();
    let forwarder = Arc::new(Forwarder::new(client.clone()));
    let waiting = Arc::new(WaitingRoom::new(
        config,
        Arc::clone(&router),
        Arc::clone(&forwarder),
        definitions,
        Arc::clone(&ctx.clock),
    ));
    let intake = Intake {
        router,
        forwarder: Arc::clone(&forwarder),
        waiting: Arc::clone(&waiting),
        clock: Arc::clone(&ctx.clock),
    };
    let queue = subject::queue(Execution::NAME);
    let mut intakes = JoinSet::new();
    for (kind, subject) in [(Kind::Update, subject::update(ANY_GROUP)), (Kind::Query, subject::query(ANY_GROUP))] {
        let requests = client.queue_subscribe(subject, queue.clone()).await?;
        let shutdown = ctx.shutdown.clone();
        intakes.spawn(intake.clone().run(kind, requests, async move { shutdown.requested().await }));
    }
    client.flush().await?;
    // Differs after every start, and grows with time: the instance that has run longest has the least name.
    let instance = ulid::Ulid::generate().to_string();
    // Not before the subscriptions: the server makes a bucket before it reads on.
    let assigning = tokio::spawn(assignment::run(config.clone(), ctx.clone(), instance));
    ctx.ready("updates and queries are taken");
    while intakes.join_next().await.is_some() {}
    if !ctx.shutdown.is_requested() {
        return Err("the subscriptions ended: the connection to nats is closed".into());
    }
    waiting.emptied().await;
    assigning.await??;
    client.flush().await?;
    told(&forwarder.counters);
    Ok(())
}

fn told(counters: &Counters) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    tracing::info!(
        forwarded = count(&counters.forwarded),
        refused = count(&counters.refused),
        waited = count(&counters.waited),
        "requests"
    );
}
