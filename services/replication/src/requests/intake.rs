//! Takes this CSP's messages from the bus and starts the work on each.

use std::sync::Arc;

use holdfast_foundation::bus::Bus;
use holdfast_schemas::{Message as _, subject};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::answer::{Asked, now_ms};
use super::transaction::{self, Verb};
use super::{commit, control, digest, lock, query, update};
use crate::member::Member;

/// The subscriptions of one CSP.
pub struct Intake {
    tasks: JoinSet<()>,
    /// Notified when the CSP is told to shut down.
    pub told_to_stop: Arc<Notify>,
}

impl Intake {
    /// Takes no more requests.
    pub fn stop(&mut self) {
        self.tasks.abort_all();
    }

    /// The same; nothing is answered any more when this returns.
    pub async fn end(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Answers status and control from the start on; the CSP's own commits and digests as soon as it has a copy.
///
/// # Errors
/// When a subscription is refused.
pub async fn serve(member: &Arc<Member>, bus: &Bus) -> Result<Intake, async_nats::SubscribeError> {
    let (group, csp) = (&member.identity.group, &member.identity.csp);
    let mut tasks = JoinSet::new();
    let told_to_stop = Arc::new(Notify::new());
    let mut status = bus.requests(subject::csp_status(group, csp)).await?;
    let mut control = bus.requests(subject::csp_control(group, csp)).await?;
    let owner = Arc::clone(member);
    tasks.spawn(async move {
        while let Some(message) = status.next().await {
            Asked::from(message).answer(&owner, owner.status(now_ms()).encode()).await;
        }
    });
    let (owner, stop) = (Arc::clone(member), Arc::clone(&told_to_stop));
    tasks.spawn(async move {
        while let Some(message) = control.next().await {
            control::control(&owner, Asked::from(message), &stop).await;
        }
    });
    let mut updates = bus.requests(subject::csp_update(group, csp)).await?;
    let mut queries = bus.requests(subject::csp_query(group, csp)).await?;
    let mut commits = bus.requests(subject::csp_commit(group, csp)).await?;
    let mut digests = bus.requests(subject::csp_digest(group, csp)).await?;
    for (name, verb) in Verb::ALL {
        let mut messages = bus.requests(subject::csp_transaction(group, csp, name)).await?;
        let owner = Arc::clone(member);
        tasks.spawn(async move {
            while let Some(message) = messages.next().await {
                tokio::spawn(transaction::transaction(Arc::clone(&owner), verb, message.into()));
            }
        });
    }
    for (name, verb) in lock::Verb::ALL {
        let mut messages = bus.requests(subject::csp_lock(group, csp, name)).await?;
        let owner = Arc::clone(member);
        tasks.spawn(async move {
            while let Some(message) = messages.next().await {
                tokio::spawn(lock::lock(Arc::clone(&owner), verb, message.into()));
            }
        });
    }
    tasks.spawn(transaction::expire(Arc::clone(member)));
    tasks.spawn(lock::look_around(Arc::clone(member)));
    let owner = Arc::clone(member);
    tasks.spawn(async move {
        loop {
            // Every request runs in a task of its own: a slow one must not hold up the others.
            tokio::select! {
                Some(message) = updates.next() => drop(tokio::spawn(update::update(Arc::clone(&owner), message.into()))),
                Some(message) = queries.next() => drop(tokio::spawn(query::query(Arc::clone(&owner), message.into()))),
                Some(message) = commits.next() => drop(tokio::spawn(commit::commit(Arc::clone(&owner), message.into()))),
                Some(message) = digests.next() => drop(tokio::spawn(digest::digest(Arc::clone(&owner), message.into()))),
                else => return,
            }
        }
    });
    Ok(Intake { tasks, told_to_stop })
}
