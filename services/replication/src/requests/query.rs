//! A query: reads at one snapshot, as fresh as the reader asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use holdfast_datastore::Call;
use holdfast_schemas::message::{Consistency, ErrorReply, QueryRequest, query_reply_bytes};
use holdfast_schemas::{ErrorCode, Message as _};
use holdfast_storage::request::Request;
use tokio::time::Instant;

use super::answer::{Asked, answer_error, barrier, conclude, error_reply, log_refusal, note_storage, refusal};
use crate::fault::{self, Sabotage};
use crate::member::Member;

/// Carries out a query and answers it.
pub async fn query(member: Arc<Member>, asked: Asked) {
    let _taken = member.take_query();
    let request = match QueryRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, &member, ErrorReply::from(&error)).await,
    };
    asked.begin(&member).await;
    let id = request.id.clone().or_else(|| asked.routed_id()).unwrap_or_else(|| ulid::Ulid::generate().to_string());
    let deadline = asked.deadline(&member, request.deadline_ms);
    if let Some(refusal) = refusal(&member, &id, deadline).filter(|_| !stands_still_for(&member, &request, deadline)) {
        return asked.give_back(&member, refusal).await;
    }
    let began = Instant::now();
    let outcome = run(&member, request, &id, deadline).await;
    member.counts.query_time.note(began.elapsed());
    member.counts.queries.fetch_add(1, Ordering::Relaxed);
    conclude(&asked, &member, outcome, deadline).await;
}

/// Whether a copy whose log is lost can answer this all the same: as of where it stands.
fn stands_still_for(member: &Member, query: &QueryRequest, deadline: Instant) -> bool {
    let is_in_reach = match query.consistency {
        Consistency::Any => query.max_lag_ms.is_none(),
        Consistency::Session => query.after.unwrap_or_default() <= member.shared.view.position(),
        Consistency::Strong => false,
    };
    is_in_reach
        && member.shared.standing.parted().is_some()
        && member.database.get().is_some()
        && Instant::now() < deadline
}

async fn run(member: &Arc<Member>, query: QueryRequest, id: &str, deadline: Instant) -> Result<Vec<u8>, ErrorReply> {
    if !is_fresh(member, &query, deadline).await {
        if let Some(refused) = log_refusal(member, id).filter(|_| query.consistency == Consistency::Strong) {
            return Err(refused);
        }
        let message = "the copy did not reach the asked position before the deadline: ask again, or allow more time";
        return Err(ErrorReply::new(Some(id.to_owned()), ErrorCode::PositionNotReached, message));
    }
    let Some(database) = member.database.get() else {
        return Err(ErrorReply::new(
            Some(id.to_owned()),
            ErrorCode::Unavailable,
            "the copy is not open yet: ask again",
        ));
    };
    let request = Request::new(None);
    let call = Call {
        ns: query.ns,
        db: query.db,
        sql: query.sql,
        vars: query.vars.unwrap_or_default(),
        request: Arc::clone(&request),
        deadline,
        results_bytes_max: member.results_bytes_max(),
    };
    match database.query(call).await {
        Ok(results) => Ok(query_reply_bytes(id, request.snapshot_position(), &results)),
        Err(error) => {
            note_storage(member, &request, &error).await;
            Err(error_reply(id, &request, &error))
        }
    }
}

/// Waits until this copy is as fresh as the reader asks; false if it is not by the deadline.
async fn is_fresh(member: &Arc<Member>, query: &QueryRequest, deadline: Instant) -> bool {
    let view = &member.shared.view;
    match query.consistency {
        Consistency::Strong if fault::breaks(Sabotage::SkipBarrier) => true,
        Consistency::Strong => member.shared.standing.refusal().is_none() && barrier(member, deadline).await,
        Consistency::Session => view.reached(query.after.unwrap_or_default(), deadline).await,
        Consistency::Any => match query.max_lag_ms {
            None => true,
            Some(_) if fault::breaks(Sabotage::IgnoreMaxLag) => true,
            // A place in the log proves it, for as long as this reader allows.
            Some(max_lag_ms) => {
                let lag = Duration::from_millis(max_lag_ms);
                let is_refused = || member.shared.standing.refusal().is_some();
                let is_within = member.shared.freshness.is_within(lag, Instant::now());
                is_within || (!is_refused() && barrier(member, deadline).await)
            }
        },
    }
}
