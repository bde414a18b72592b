//! The service: what the watching task needs around it.

use crate::config::SupervisionConfig;
use crate::definitions;
use crate::recorder::Recorder;
use crate::watch::Watch;
use holdfast_foundation::{BoxError, Context, Service};
use holdfast_schemas::subject;
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
        let heartbeats = client.subscribe(subject::all_heartbeats()).await?;
        let (memberships, defined) = mpsc::unbounded_channel();
        let (changes, decided) = mpsc::unbounded_channel();
        let mut background = JoinSet::new();
        background.spawn(definitions::follow(jetstream.clone(), memberships));
        let recorder = Recorder::new(client.clone(), jetstream, config.bucket_replicas);
        background.spawn(recorder.run(decided));
        client.flush().await?;
        ctx.ready("heartbeats are watched");
        let watch = Watch::new(ctx.bus.clone(), Arc::clone(&ctx.clock), config, changes);
        let shutdown = ctx.shutdown.clone();
        watch.run(heartbeats, defined, async move { shutdown.requested().await }).await;
        Ok(())
    }
}
