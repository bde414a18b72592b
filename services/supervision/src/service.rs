//! The service: what the watching task needs around it.

use crate::config::SupervisionConfig;
use crate::recorder::Recorder;
use crate::watch::{Ears, Watch};
use crate::{definitions, events};
use holdfast_foundation::{BoxError, Context, Service};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The supervision service.
pub struct Supervision;

impl Service for Supervision {
    const NAME: &'static str = "supervision";
    type Config = SupervisionConfig;

    async fn start(config: SupervisionConfig, ctx: Context) -> Result<(), BoxError> {
        config.check()?;
        let client = ctx.bus.client().clone();
        let jetstream = ctx.bus.jetstream().clone();
        let (memberships, defined) = mpsc::unbounded_channel();
        let (orders, ordered) = mpsc::unbounded_channel();
        let ears = Ears::open(&client, defined).await?;
        let mut background = JoinSet::new();
        background.spawn(definitions::follow(jetstream.clone(), memberships));
        background.spawn(events::keep(jetstream.clone(), config.bucket_replicas));
        let recorder = Recorder::new(client.clone(), jetstream, config.bucket_replicas);
        background.spawn(recorder.run(ordered));
        ctx.bus.settle().await?;
        let instance = ulid::Ulid::generate().to_string();
        ctx.ready(&format!("heartbeats are watched by {instance}"));
        let watch = Watch::new(ctx.bus.clone(), Arc::clone(&ctx.clock), config, instance, orders);
        let shutdown = ctx.shutdown.clone();
        watch.run(ears, async move { shutdown.requested().await }).await;
        Ok(())
    }
}
