//! `group status`: asks everybody at once, and takes what came within the bound.

use crate::definitions::Definitions;
use crate::error::RequestError;
use crate::model::status::{self, Witness};
use async_nats::jetstream;
use futures::future::join_all;
use holdfast_foundation::bus::Bus;
use holdfast_schemas::message::{
    Assignment, CspStateChange, GroupDefinition, GroupStatusReply, LogView, StatusReply, StatusRequest,
};
use holdfast_schemas::{ErrorCode, Message, subject};
use std::time::Duration;

/// Answers one request.
pub async fn group_status(
    bus: &Bus,
    definitions: &Definitions,
    group: &str,
    bound: Duration,
) -> Result<GroupStatusReply, RequestError> {
    let Some(definition) = definitions.find_or_last(group, bound).await? else {
        return Err(RequestError::refused(ErrorCode::UnknownGroup, unknown(definitions, group).await));
    };
    let witnesses = join_all(definition.csps.iter().map(|csp| witness(bus, group, csp, bound)));
    let (witnesses, log, assignments) = tokio::join!(
        witnesses,
        log_status(bus.jetstream(), &definition, bound),
        tokio::time::timeout(bound, assignments(bus.jetstream(), &definition))
    );
    let assignments = assignments.ok().flatten().unwrap_or_default();
    Ok(status::compose(definition, witnesses, log, assignments))
}

async fn unknown(definitions: &Definitions, group: &str) -> String {
    let known = definitions.read().await.map(|snapshot| snapshot.groups).unwrap_or_default();
    let names: Vec<_> = known.iter().map(|group| group.name.as_str()).collect();
    if names.is_empty() {
        return format!("there is no group {group}; no group is defined yet");
    }
    format!("there is no group {group}; known groups: {}", names.join(", "))
}

async fn witness(bus: &Bus, group: &str, csp: &str, bound: Duration) -> Witness {
    let question = StatusRequest::default();
    let asked = bus.request::<StatusRequest, StatusReply>(subject::csp_status(group, csp), &question, bound);
    let (answer, supervised) =
        tokio::join!(asked, tokio::time::timeout(bound, supervised(bus.jetstream(), group, csp)));
    Witness { answer: answer.ok(), supervised: supervised.ok().flatten() }
}

/// The state that supervision last wrote; none if it cannot be read, since a status with less in it beats none.
async fn supervised(jetstream: &jetstream::Context, group: &str, csp: &str) -> Option<CspStateChange> {
    let bucket = jetstream.get_key_value(subject::states_bucket()).await.ok()?;
    let value = bucket.get(subject::state_key(group, csp)).await.ok()??;
    CspStateChange::decode(&value).ok()
}

/// Who holds which task; what cannot be read is left out.
async fn assignments(jetstream: &jetstream::Context, definition: &GroupDefinition) -> Option<Vec<Assignment>> {
    let bucket = jetstream.get_key_value(subject::assignments_bucket()).await.ok()?;
    let tasks = status::tasks(definition);
    let read = tasks.iter().map(|task| bucket.get(subject::assignment_key(&definition.name, task)));
    let found = join_all(read).await.into_iter().filter_map(|value| value.ok().flatten());
    Some(found.filter_map(|value| Assignment::decode(&value).ok()).collect())
}

async fn log_status(jetstream: &jetstream::Context, definition: &GroupDefinition, bound: Duration) -> LogView {
    let stream = subject::log_stream(&definition.name);
    let info =
        tokio::time::timeout(bound, async { jetstream.get_stream_no_info(stream).await.ok()?.get_info().await.ok() });
    match info.await.ok().flatten() {
        Some(info) => LogView {
            first: info.state.first_sequence,
            last: info.state.last_sequence,
            bytes: info.state.bytes,
            replicas: u8::try_from(info.config.num_replicas).unwrap_or(u8::MAX),
            junk: 0,
        },
        None => LogView::default(),
    }
}
