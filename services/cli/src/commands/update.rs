//! `holdfast update`: one transaction.

use std::time::{Duration, Instant};

use holdfast_schemas::{
    message::{UpdateReply, UpdateRequest},
    subject,
};
use ulid::Ulid;

use super::{once, source};
use crate::{
    arguments::request::UpdateOptions,
    client::Client,
    error::CliError,
    output::{self, Reader, results, table::grouped},
};

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
    request.locks = options.locks.clone();

    let client = Client::connect(given.target.bus.nats.as_deref()).await?;
    let started = Instant::now();
    let reply = send(&client, &given.target.group, request).await?;
    print(&reply, started.elapsed(), reader)
}

/// Sends an update under an id, which is made if it has none.
///
/// # Errors
/// It was refused, could not be sent, or its outcome is still not known.
pub async fn send(client: &Client, group: &str, mut request: UpdateRequest) -> Result<UpdateReply, CliError> {
    let id = request.id.get_or_insert_with(|| Ulid::generate().to_string()).clone();
    once::send(client, subject::update(group), &request, &id, request.deadline_ms).await
}

fn print(reply: &UpdateReply, took: Duration, reader: Reader) -> Result<(), CliError> {
    if reader == Reader::Program {
        return output::message(reply);
    }
    match &reply.results_dropped {
        None => output::line(&results::human(&reply.results))?,
        Some(dropped) => output::notice(&dropped.message),
    }
    let again = if reply.replayed == Some(true) { ", the first outcome of this id" } else { "" };
    output::notice(&format!(
        "position {}, {}, {:.1} ms{again}",
        grouped(reply.position),
        results::rows(&reply.results),
        took.as_secs_f64() * 1000.0
    ));
    Ok(())
}
