//! Follows how this copy stands to its log, and tells of it: by an event and a heartbeat, at once.

use std::sync::Arc;

use holdfast_schemas::message::{LogChange, UpdateRefusal};
use holdfast_schemas::{Message as _, subject};

use crate::heartbeat;
use crate::member::Member;
use crate::requests::now_ms;

/// Tells of each change, until the task is aborted.
pub async fn follow(member: Arc<Member>) {
    let mut told: Option<UpdateRefusal> = None;
    loop {
        let changed = member.shared.standing.changes();
        let refusal = member.shared.standing.own_refusal();
        // While it is compared anew nothing is known that should be told.
        if refusal != told && (refusal.is_some() || member.shared.standing.is_sound()) {
            told = refusal;
            tell(&member).await;
        }
        changed.await;
    }
}

/// Tells how this copy stands to its log now.
pub async fn tell(member: &Member) {
    let change = LogChange {
        group: member.identity.group.clone(),
        csp: member.identity.csp.clone(),
        applied: member.shared.view.position(),
        updates_refused: member.shared.standing.own_refusal(),
        at_ms: now_ms(),
    };
    let to = subject::event(&member.identity.group, subject::EVENT_LOG);
    // The heartbeat says the same, again and again.
    let _ = member.client.publish(to, change.encode().into()).await;
    heartbeat::send_now(member).await;
}
