//! `holdfast update`: one transaction.

use std::time::{Duration, Instant};

use holdfast_schemas::{
    Message as _,
    limits::DEFAULT_DEADLINE_MS,
    message::{UpdateReply, UpdateRequest},
    subject,
};
use ulid::Ulid;

use super::source;
use crate::{
    arguments::request::UpdateOptions,
    client::{AskError, Client},
    error::CliError,
    output::{self, Reader, results, table::grouped},
};

/// The services answer at the deadline at the latest; this is for the way.
const MARGIN: Duration = Duration::from_millis(500);

/// Sends one update and prints its outcome.
///
/// # Errors
/// It was refused, could not be sent, or its outcome is not known.
pub async fn run(options: &UpdateOptions, reader: Reader) -> Result<(), CliError> {
    let given = &options.request;
    let mut request = UpdateRequest::new(source::read(&given.source)?);
    request.id = options.id.clone();
    request.ns = given.ns.clone().unwrap_or(request.ns);
    request.db = given.db.clone().unwrap_or(request.db);
    request.vars = source::variables(&given.variables);
    request.deadline_ms = given.deadline;

    let client = Client::connect(given.target.bus.nats.as_deref()).await?;
    let started = Instant::now();
    let reply = send(&client, &given.target.group, request).await?;
    print(&reply, started.elapsed(), reader)
}

/// Sends an update under an id. If no answer comes, asks once more under the same id: the group carries it out at most
/// once and returns the first outcome.
///
/// # Errors
/// It was refused, could not be sent, or its outcome is still not known.
pub async fn send(client: &Client, group: &str, mut request: UpdateRequest) -> Result<UpdateReply, CliError> {
    let id = request.id.get_or_insert_with(|| Ulid::generate().to_string()).clone();
    request.check().map_err(|error| CliError::Usage(error.to_string()))?;
    let patience = Duration::from_millis(request.deadline_ms.unwrap_or(DEFAULT_DEADLINE_MS)) + MARGIN;
    let mut waited = Duration::ZERO;
    for repeated in [false, true] {
        match client.ask_once_heard(subject::update(group), &request, patience).await {
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
    Err(CliError::Unknown { waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX), id })
}

/// Whether the group said what became of the update, rather than that it could not look.
fn is_outcome(error: &CliError) -> bool {
    matches!(error, CliError::Refused(reply) if !reply.error.retryable)
}

fn print(reply: &UpdateReply, took: Duration, reader: Reader) -> Result<(), CliError> {
    if reader == Reader::Program {
        return output::message(reply);
    }
    output::line(&results::human(&reply.results))?;
    let again = if reply.replayed == Some(true) { ", the first outcome of this id" } else { "" };
    output::notice(&format!(
        "position {}, {}, {:.1} ms{again}",
        grouped(reply.position),
        results::rows(&reply.results),
        took.as_secs_f64() * 1000.0
    ));
    Ok(())
}
