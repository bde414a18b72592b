//! Says that this CSP lives, and listens to the others.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use futures::StreamExt;
use holdfast_foundation::clock::since_boot_ms;
use holdfast_schemas::message::{CspState, Heartbeat, SupervisionPolicy};
use holdfast_schemas::{Message as _, subject};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::member::Member;
use crate::namesake;

/// Sends a heartbeat at once and then as often as the group's policy says, until the task is aborted. A new epoch is told at
/// once: everybody waits to hear that its primary knows. So is a new policy, by which the next one may be expected sooner.
pub async fn send(member: Arc<Member>, mut policies: watch::Receiver<SupervisionPolicy>) {
    let mut epochs = member.shared.view.epochs();
    let mut ticks = ticks(&mut policies);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                member.clocks.watch(&member.identity.csp, since_boot_ms());
                member.counts.query_time.roll();
                member.counts.update_time.roll();
            }
            Ok(()) = epochs.changed() => {}
            Ok(()) = policies.changed() => ticks = self::ticks(&mut policies),
        }
        send_now(&member).await;
    }
}

/// Ticks at the interval of the newest policy, the first one at once.
fn ticks(policies: &mut watch::Receiver<SupervisionPolicy>) -> Interval {
    let interval_ms = policies.borrow_and_update().heartbeat_interval_ms;
    let mut ticks = tokio::time::interval(Duration::from_millis(interval_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Sends one heartbeat: also when something changed that routing should know at once.
pub async fn send_now(member: &Member) {
    let was_unheard = member.echo.unheard_ms(Instant::now()).is_some();
    member.echo.sent(member.client.connection_state() == State::Connected, Instant::now());
    let beat = member.heartbeat(crate::requests::now_ms());
    if !was_unheard && !beat.is_sign_of_life() {
        tracing::warn!(csp = beat.csp, "this CSP hears nothing from nats, and takes no requests until it does");
    }
    let to = subject::heartbeat(&member.identity.group, &member.identity.csp);
    // Missing ones are what heartbeats are there to show; nothing else follows from a failure to send.
    let _ = member.client.publish(to, beat.encode().into()).await;
}

/// Learns from the others how far the log is, and what their clocks show. Ends with the incarnation of an earlier process that
/// lives under our name, if there is one.
///
/// # Errors
/// When the subscription is refused.
pub async fn listen(member: Arc<Member>) -> Result<Option<u64>, async_nats::SubscribeError> {
    let mut beats = member.client.subscribe(subject::heartbeats(&member.identity.group)).await?;
    member.echo.listens();
    let (own, mut earlier) = (member.gateway.origin().incarnation, namesake::Earlier::default());
    while let Some(message) = beats.next().await {
        if let Ok(beat) = Heartbeat::decode(&message.payload) {
            let now = Instant::now();
            member.shared.freshness.heard(beat.applied, member.shared.view.position(), now);
            if beat.csp == member.identity.csp {
                if beat.incarnation.parse() == Ok(own) && member.echo.heard(now) {
                    tracing::info!(csp = beat.csp, "this CSP hears nats again");
                }
                // One that is set aside reads no log, so it would never learn what that has decided.
                let reads_log = beat.state != CspState::Quarantined;
                let in_log = member.shared.certifier.lock().origin(&beat.csp).map(|origin| origin.incarnation);
                let in_log = in_log.filter(|_| reads_log);
                if let Ok(theirs) = beat.incarnation.parse()
                    && let Some(theirs) = earlier.heard(own, in_log, theirs, now)
                {
                    return Ok(Some(theirs));
                }
                continue;
            }
            member.clocks.heard(&beat.csp, beat.at_ms, crate::requests::now_ms(), since_boot_ms());
            if beat.state == CspState::Available {
                member.shared.freshness.heard_available(now);
            }
            // The word of one that was set aside, and not what it heard from others.
            let refusal = beat.updates_refused.as_ref().filter(|_| beat.state == CspState::Quarantined);
            member.shared.standing.heard(&beat.csp, refusal);
        }
    }
    Ok(None)
}
