//! `holdfast query`: reads.

use std::time::{Duration, Instant};

use holdfast_schemas::{
    Message as _,
    limits::DEFAULT_DEADLINE_MS,
    message::{self, QueryReply, QueryRequest},
    subject,
};

use super::source;
use crate::{
    arguments::request::{Consistency, QueryOptions},
    client::Client,
    error::CliError,
    output::{self, Reader, results, table::grouped},
};

const MARGIN: Duration = Duration::from_millis(500);

impl From<Consistency> for message::Consistency {
    fn from(value: Consistency) -> Self {
        match value {
            Consistency::Any => Self::Any,
            Consistency::Session => Self::Session,
            Consistency::Strong => Self::Strong,
        }
    }
}

/// Sends one query and prints its results.
///
/// # Errors
/// It was refused or could not be sent.
pub async fn run(options: &QueryOptions, reader: Reader) -> Result<(), CliError> {
    let given = &options.request;
    let mut request = QueryRequest::new(source::read(&given.source)?);
    request.ns = given.ns.clone().unwrap_or(request.ns);
    request.db = given.db.clone().unwrap_or(request.db);
    request.vars = source::variables(&given.variables);
    request.deadline_ms = given.deadline;
    request.consistency = options.consistency.into();
    request.after = options.after;
    request.max_lag_ms = options.max_lag;
    request.pool = options.pool.clone();

    let client = Client::connect(given.target.bus.nats.as_deref()).await?;
    let started = Instant::now();
    let reply = send(&client, &given.target.group, request).await?;
    if reader == Reader::Program {
        return output::message(&reply);
    }
    output::line(&results::human(&reply.results))?;
    output::notice(&format!(
        "as of position {}, {}, {:.1} ms",
        grouped(reply.position),
        results::rows(&reply.results),
        started.elapsed().as_secs_f64() * 1000.0
    ));
    Ok(())
}

/// Sends a query.
///
/// # Errors
/// It was refused or could not be sent.
pub async fn send(client: &Client, group: &str, request: QueryRequest) -> Result<QueryReply, CliError> {
    request.check().map_err(|error| CliError::Usage(error.to_string()))?;
    let patience = Duration::from_millis(request.deadline_ms.unwrap_or(DEFAULT_DEADLINE_MS)) + MARGIN;
    client.ask(subject::query(group), &request, patience).await
}
