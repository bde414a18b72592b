//! Requests that are carried out once however often they are sent, because they bear an id.

use std::time::Duration;

use holdfast_schemas::{Message, limits::DEFAULT_DEADLINE_MS};

use crate::{
    client::{AskError, Client},
    error::CliError,
    output,
};

/// The services answer at the deadline at the latest; this is for the way.
const MARGIN: Duration = Duration::from_millis(500);

/// Sends a request that bears this id. If no answer comes, asks once more under the same id: the group carries it out at
/// most once and returns the first outcome.
///
/// # Errors
/// It was refused, could not be sent, or its outcome is still not known.
pub async fn send<Q: Message, R: Message>(
    client: &Client,
    subject: String,
    request: &Q,
    id: &str,
    deadline_ms: Option<u64>,
) -> Result<R, CliError> {
    request.check().map_err(|error| CliError::Usage(error.to_string()))?;
    let patience = Duration::from_millis(deadline_ms.unwrap_or(DEFAULT_DEADLINE_MS)) + MARGIN;
    let mut waited = Duration::ZERO;
    for repeated in [false, true] {
        match client.ask_once_heard(subject.clone(), request, patience).await {
            Ok(reply) => return Ok(reply),
            // A refusal of the repetition says nothing of the first attempt.
            Err(AskError::Other(error)) if !repeated || is_outcome(&error) => return Err(error),
            Err(AskError::Other(_)) => {}
            Err(AskError::TimedOut(time)) => {
                waited += time;
                if !repeated {
                    output::notice(&format!(
                        "no answer within {} ms, asking again under the same id",
                        time.as_millis()
                    ));
                }
            }
        }
    }
    Err(CliError::Unknown { waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX), id: id.to_owned() })
}

/// Whether the group said what became of the request, rather than that it could not look.
fn is_outcome(error: &CliError) -> bool {
    matches!(error, CliError::Refused(reply) if reply.error.settled || !reply.error.retryable)
}
