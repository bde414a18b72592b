//! Results on their way into an answer, which is one message.
//!
//! Results are bounded where they are made, so that what is kept with an id is the same on every copy. The server that an answer
//! goes over may take less than that: then they are left out here.

use holdfast_datastore::dropped_bytes;
use holdfast_schemas::limits;
use holdfast_schemas::message::{Results, ResultsDropped, transaction_execute_reply_bytes, update_reply_bytes};

use crate::member::Member;
use crate::model::Place;

/// The answer to an update that took effect. `kept` are its results as they are kept with the id.
pub(super) fn update_answer(
    member: &Member,
    id: &str,
    position: u64,
    index: Option<u32>,
    replayed: Option<bool>,
    kept: &[u8],
) -> Vec<u8> {
    let dropped = dropped(member, kept);
    update_reply_bytes(id, position, index, replayed, told(kept, dropped.as_ref()))
}

/// The answer to an update, or a commit, that has this place in the log.
pub(super) fn answer_at(member: &Member, id: &str, place: Place, is_first: bool, kept: &[u8]) -> Vec<u8> {
    update_answer(member, id, place.position, Some(place.index), (!is_first).then_some(true), kept)
}

/// The answer to statements of an open transaction.
pub(super) fn execute_answer(member: &Member, id: &str, kept: &[u8]) -> Vec<u8> {
    let dropped = dropped(member, kept);
    transaction_execute_reply_bytes(id, told(kept, dropped.as_ref()))
}

fn dropped(member: &Member, kept: &[u8]) -> Option<ResultsDropped> {
    let limit = member.results_bytes_max() as u64;
    let bytes = dropped_bytes(kept).or_else(|| Some(kept.len() as u64).filter(|bytes| *bytes > limit))?;
    Some(ResultsDropped::new(bytes, limit.min(limits::MAX_RESULTS_BYTES as u64)))
}

fn told<'a>(kept: &'a [u8], dropped: Option<&'a ResultsDropped>) -> Results<'a> {
    dropped.map_or(Results::Json(kept), Results::Dropped)
}
