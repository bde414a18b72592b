//! Gives tasks to CSPs: the edge around `model::assignment`.
//!
//! One loop per instance hears heartbeats, verdicts, the other instances and the two buckets, and keeps what the model needs
//! in memory. From a verdict to the new epoch in the log there are two messages to JetStream and no read: the write into the
//! assignments bucket, which decides who writes, and the entry. Every instance keeps the picture, the leading one acts on it,
//! and any of them answers requests to move a task.
//!
//! | file | does |
//! |---|---|
//! | `desk` | takes in what comes, asks the model, starts what follows |
//! | `bucket` | follows a key-value bucket |
//! | `record` | writes assignments, and tells the log and the listeners |
//! | `states` | reads what supervision concluded before we listened |
//! | `moves` | answers those who asked for a task to be moved |

mod bucket;
mod desk;
mod moves;
mod record;
pub mod states;

use crate::config::ExecutionConfig;
use async_nats::Subscriber;
use bucket::News;
use desk::Desk;
use futures::StreamExt;
use holdfast_foundation::bus::Bus;
use holdfast_foundation::bus::requests::Requests;
use holdfast_foundation::{BoxError, Context};
use holdfast_schemas::message::CspStateChange;
use holdfast_schemas::{limits, subject};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Every group, as a subject token.
const ANY_GROUP: &str = "*";

/// How often what only time changes is looked at.
const TICK: Duration = Duration::from_millis(25);

/// What is learnt from JetStream.
enum Learnt {
    /// From the definitions bucket.
    Definitions(News),
    /// From the assignments bucket.
    Assignments(News),
    /// From the states bucket, as it was at that time.
    States { changes: Vec<CspStateChange>, asked_at_ms: u64 },
}

/// What is heard on core NATS.
struct Ears {
    states: Subscriber,
    nodes: Subscriber,
    presences: Subscriber,
    moves: Requests,
    heartbeats: Subscriber,
}

impl Ears {
    async fn open(bus: &Bus) -> Result<Self, BoxError> {
        let client = bus.client();
        let queue = subject::queue("execution");
        Ok(Self {
            states: client.subscribe(subject::event(ANY_GROUP, subject::EVENT_CSP_STATE)).await?,
            nodes: client.subscribe(subject::event(ANY_GROUP, subject::EVENT_NODE_STATE)).await?,
            presences: client.subscribe(subject::presences()).await?,
            moves: bus.queue_requests(subject::assignment_move(ANY_GROUP), queue).await?,
            heartbeats: client.subscribe(subject::all_heartbeats()).await?,
        })
    }
}

/// Assigns tasks until the service is told to stop. Another instance takes over a moment later.
pub async fn run(config: ExecutionConfig, ctx: Context, instance: String) -> Result<(), BoxError> {
    let mut ears = Ears::open(&ctx.bus).await?;
    let (learn, mut learnt) = mpsc::unbounded_channel();
    let (finish, mut finished) = mpsc::unbounded_channel();
    let _followers = follow_buckets(&ctx, config.bucket_replicas, &learn);
    let mut desk = Desk::new(&config, &ctx, instance, learn, finish);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut presence = tokio::time::interval(Duration::from_millis(limits::PRESENCE_INTERVAL_MS));
    presence.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stop = ctx.shutdown.requested();
    tokio::pin!(stop);
    loop {
        // Verdicts first: somebody waits for what follows from them.
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(message) = ears.states.next() => desk.state(&message),
            Some(_) = ears.nodes.next() => desk.node_state(),
            Some(done) = finished.recv() => desk.finished(done),
            Some(message) = ears.moves.next() => desk.asked(message),
            _ = presence.tick() => desk.say_present().await,
            _ = ticks.tick() => desk.tick(),
            Some(news) = learnt.recv() => desk.learn(news),
            Some(message) = ears.presences.next() => desk.presence(&message),
            Some(message) = ears.heartbeats.next() => desk.heartbeat(&message),
        }
    }
    desk.close(finished).await;
    Ok(())
}

/// Follows both buckets for as long as the result lives.
fn follow_buckets(ctx: &Context, replicas: usize, learn: &mpsc::UnboundedSender<Learnt>) -> JoinSet<()> {
    let mut followers = JoinSet::new();
    let jetstream = ctx.bus.jetstream();
    // Nobody listens any more when the service ends.
    let tell = learn.clone();
    let definitions = bucket::Bucket::of_others(jetstream.clone(), subject::definitions_bucket());
    followers.spawn(definitions.follow(move |news| drop(tell.send(Learnt::Definitions(news)))));
    let tell = learn.clone();
    let assignments = bucket::Bucket::of_ours(jetstream.clone(), subject::assignments_bucket(), replicas);
    followers.spawn(assignments.follow(move |news| drop(tell.send(Learnt::Assignments(news)))));
    followers
}
