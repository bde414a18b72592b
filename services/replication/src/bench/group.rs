//! Three copies on one log, in this process: everything of a CSP but its requests.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream;
use holdfast_datastore::{Database, OpenOptions, STORAGE_VERSION};
use holdfast_foundation::bus::{Bus, log_stream};
use holdfast_foundation::config::NatsConfig;
use holdfast_schemas::{limits, subject};
use holdfast_storage::{Copy, CopyOptions, Engine, StorageKind};
use tokio::time::Instant;

use super::Server;
use crate::BoxError;
use crate::applier::{Applier, Shared};
use crate::committer::Committer;
use crate::config::ReplicationConfig;
use crate::digest::digest_of;
use crate::entry::{Control, Isolation, Replication};
use crate::forward::Forward;
use crate::log::{Gateway, LogStanding, Origin, Publisher, PublisherOptions, Subscription};
use crate::store::restore;

const GROUP: &str = "bench";
const COPIES: [&str; 3] = ["a", "b", "c"];

struct Member {
    copy: Copy,
    shared: Shared,
}

/// A group of three copies; SurrealDB runs on the first.
pub struct Group {
    members: Vec<Member>,
    database: Arc<Database>,
}

impl Group {
    /// Starts it on `server`, with the copies below `folder`.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(folder: &Path, server: &Server) -> Result<Self, BoxError> {
        let config = NatsConfig { url: server.url.clone(), ..NatsConfig::default() };
        let bus = Bus::connect(&config, "bench").await?;
        log_stream::ensure(bus.jetstream(), GROUP, 1).await?;
        define(bus.jetstream()).await?;
        let mut members = Vec::new();
        let mut gateways = Vec::new();
        for name in COPIES {
            // Each with a connection of its own, as separate processes would have.
            let bus = Bus::connect(&config, name).await?;
            let (member, gateway) = start_member(folder, name, &bus).await?;
            members.push(member);
            gateways.push((gateway, bus));
        }
        let (Some(first), Some((gateway, bus))) = (members.first(), gateways.first()) else {
            return Err("no copy was started".into());
        };
        let view = Arc::clone(&first.shared.view);
        let forward = Forward::new(
            bus.client().clone(),
            GROUP.to_owned(),
            Arc::clone(gateway),
            Arc::clone(&view),
            limits::LOG_MESSAGE_MAX_BYTES,
        );
        let contention = Arc::clone(&first.shared.contention);
        let committer = Committer::new(Arc::clone(gateway), view, Arc::new(forward), contention);
        let engine =
            Box::new(Engine::new(first.copy.clone(), Arc::new(committer), crate::start_up::TRANSACTION_LIMITS));
        let database = Database::open(OpenOptions { engine, node_id: [1; 16] }).await?;
        Arc::clone(&database).join().await?;
        Ok(Self { members, database })
    }

    /// SurrealDB on the first copy.
    #[must_use]
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Bytes of log that the first copy has applied.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.members.first().map_or(0, |member| member.shared.applied.bytes.load(Ordering::Relaxed))
    }

    /// Waits until all copies are where the first is, and compares their content.
    ///
    /// # Errors
    /// When they differ, or do not get there.
    pub async fn check_equal(&self) -> Result<(), BoxError> {
        self.database.shutdown().await;
        let target = self.members.iter().map(|member| member.shared.view.position()).max().unwrap_or_default();
        let mut hashes = Vec::new();
        for member in &self.members {
            if !member.shared.view.reached(target, Instant::now() + Duration::from_secs(60)).await {
                return Err("a copy did not catch up".into());
            }
            hashes.push(digest_of(member.copy.snapshot().await?, target).await?.hash);
        }
        match hashes.first() {
            Some(first) if hashes.iter().all(|hash| hash == first) => Ok(()),
            _ => Err("the copies differ".into()),
        }
    }
}

async fn define(context: &jetstream::Context) -> Result<(), BoxError> {
    let define = Control::Define {
        group: GROUP.to_owned(),
        replication: Replication::Peer,
        isolation: Isolation::Serializable,
        ids_kept_ms: limits::IDS_KEPT_MS,
    };
    context.publish(subject::log(GROUP), serde_json::to_vec(&define)?.into()).await?.await?;
    Ok(())
}

async fn start_member(folder: &Path, name: &str, bus: &Bus) -> Result<(Member, Arc<Gateway>), BoxError> {
    let defaults = ReplicationConfig::default();
    let options = CopyOptions {
        kind: StorageKind::SurrealKv,
        path: folder.join(name),
        memory_bytes: defaults.memory_mb << 20,
        write_buffer_min_bytes: crate::store::WRITE_BUFFER_MIN_BYTES,
    };
    let copy = Copy::open(&options).await?;
    let (context, client) = (bus.jetstream(), bus.client());
    let stream = subject::log_stream(GROUP);
    let restored = restore(&copy, context, &stream, STORAGE_VERSION).await?;
    let (gateway, queue) = Gateway::new(Origin { csp: name.to_owned(), incarnation: 1 });
    let gateway = Arc::new(gateway);
    let (mut applier, shared) =
        Applier::new(copy.clone(), restored, Arc::clone(&gateway), Arc::new(LogStanding::new(client.clone())));
    let standing = Arc::clone(&shared.standing);
    let connects = standing.connects();
    let subscription = Subscription::open(context, &stream, 1, &standing.known()).await?;
    standing.compared(connects);
    let target = subscription.end();
    tokio::spawn(async move { applier.run(subscription).await });
    let options = PublisherOptions {
        subject: subject::log(GROUP),
        stream,
        storage_version: STORAGE_VERSION,
        message_max_bytes: limits::LOG_MESSAGE_MAX_BYTES,
        in_flight_max: defaults.in_flight_max,
        stall: Duration::from_millis(defaults.stall_ms),
    };
    let publisher =
        Publisher::new(client.clone(), options, Arc::clone(&gateway), Arc::clone(&shared.view), standing, queue);
    tokio::spawn(publisher.run());
    if !shared.view.reached(target, Instant::now() + Duration::from_secs(10)).await {
        return Err("the group's definition was not applied".into());
    }
    Ok((Member { copy, shared }, gateway))
}
