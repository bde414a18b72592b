//! The digest of this copy, at a place of the log that all copies can name.
//!
//! Without a position a mark is put into the log, and the digest taken there is the answer: its position is then the one to
//! ask the other copies for. A copy that is set aside applies nothing, so it has the digests that it took before, and no other one
//! is waited for.

use std::sync::Arc;
use std::time::Duration;

use holdfast_schemas::message::{CspState, DigestReply, DigestRequest, ErrorReply};
use holdfast_schemas::{ErrorCode, Message as _, subject};
use tokio::time::Instant;

use super::answer::{Asked, answer_error};
use crate::entry::Control;
use crate::member::Member;

/// How long the mark and the digest may take.
const DIGEST_MAX: Duration = Duration::from_secs(60);

/// Takes a digest and answers with it.
pub async fn digest(member: Arc<Member>, asked: Asked) {
    let request = match DigestRequest::decode(&asked.payload) {
        Ok(request) => request,
        Err(error) => return answer_error(&asked, &member, ErrorReply::from(&error)).await,
    };
    let set_aside = member.state() == CspState::Quarantined;
    let deadline = if set_aside { Instant::now() } else { Instant::now() + DIGEST_MAX };
    let taken = match request.at {
        None if set_aside => None,
        Some(at) => member.shared.digests.wait(|_, position| position == at, deadline).await,
        None => {
            let mark = ulid::Ulid::generate().to_string();
            if let Err(error) = put_mark(&member, &mark).await {
                let message = format!("the mark could not be put into the log ({error}): ask again");
                return answer_error(&asked, &member, ErrorReply::new(None, ErrorCode::LogUnavailable, message)).await;
            }
            member.shared.digests.wait(|found, _| found == mark, deadline).await
        }
    };
    match taken {
        Some(taken) => {
            let reply =
                DigestReply { position: taken.position, keys: taken.keys, digest: format!("{:032x}", taken.hash) };
            asked.answer(&member, reply.encode()).await;
        }
        None if set_aside => {
            let reason = member.reason().unwrap_or_else(|| "its status says more".to_owned());
            let message = format!("this copy is set aside and takes no digest ({reason}): compare the others");
            answer_error(&asked, &member, ErrorReply::new(None, ErrorCode::Quarantined, message)).await;
        }
        None => {
            let message =
                "no digest was taken there in time: ask one copy without a position, and the others for its position";
            answer_error(&asked, &member, ErrorReply::new(None, ErrorCode::NotFound, message)).await;
        }
    }
}

async fn put_mark(member: &Member, mark: &str) -> Result<(), async_nats::Error> {
    let body = serde_json::to_vec(&Control::Mark { id: mark.to_owned() })?;
    let context = async_nats::jetstream::new(member.client.clone());
    context.publish(subject::log(&member.identity.group), body.into()).await?.await?;
    Ok(())
}
