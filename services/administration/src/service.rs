//! The service: one queue subscription per kind of request, a task per request. Requests are rare and may take a while, so
//! none of them makes another one wait.

use crate::config::AdministrationConfig;
use crate::definitions::Definitions;
use crate::replicas::Replicas;
use crate::requests::{Administrator, Verb};
use holdfast_foundation::bus::requests::Requests;
use holdfast_foundation::{BoxError, Context, Service, Shutdown};
use holdfast_schemas::subject;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The administration service.
pub struct Administration;

impl Service for Administration {
    const NAME: &'static str = "administration";
    type Config = AdministrationConfig;

    async fn start(config: AdministrationConfig, ctx: Context) -> Result<(), BoxError> {
        config.check()?;
        let definitions = Definitions::new(ctx.bus.jetstream().clone(), config.bucket_replicas);
        tokio::select! {
            made = made(&definitions) => made,
            () = ctx.shutdown.requested() => return Ok(()),
        }
        let defined = Arc::new(Notify::new());
        let replicas = Replicas {
            jetstream: ctx.bus.jetstream().clone(),
            definitions: definitions.clone(),
            least: config.bucket_replicas,
            defined: Arc::clone(&defined),
        };
        let administrator = Arc::new(Administrator {
            bus: ctx.bus.clone(),
            definitions,
            defined,
            status_timeout: Duration::from_millis(config.status_timeout_ms),
        });
        let client = ctx.bus.client().clone();
        let mut servers = JoinSet::new();
        for verb in Verb::ALL {
            let asked = subject::admin("group", verb.name());
            let requests = ctx.bus.queue_requests(asked, subject::queue(Self::NAME)).await?;
            servers.spawn(serve(Arc::clone(&administrator), verb, requests, ctx.shutdown.clone()));
        }
        let mut background = JoinSet::new();
        background.spawn(replicas.keep());
        ctx.bus.settle().await?;
        ctx.ready("groups can be defined");
        while servers.join_next().await.is_some() {}
        if !ctx.shutdown.is_requested() {
            return Err("the subscriptions ended: the connection to nats is closed".into());
        }
        client.flush().await?;
        Ok(())
    }
}

/// Waits until the definitions bucket is there, so that everybody can watch it. JetStream may still be starting.
async fn made(definitions: &Definitions) {
    while let Err(error) = definitions.ensure().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the definitions bucket is not there yet");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn serve(administrator: Arc<Administrator>, verb: Verb, mut requests: Requests, shutdown: Shutdown) {
    let mut answers = JoinSet::new();
    loop {
        tokio::select! {
            request = requests.next() => {
                let Some(request) = request else { break };
                let administrator = Arc::clone(&administrator);
                answers.spawn(async move { administrator.answer(verb, request).await });
            }
            Some(_) = answers.join_next() => {}
            () = shutdown.requested() => break,
        }
    }
    if requests.drain().await.is_ok() {
        while let Some(request) = requests.next().await {
            administrator.answer(verb, request).await;
        }
    }
    while answers.join_next().await.is_some() {}
}
