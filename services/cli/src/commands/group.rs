//! `holdfast group`: definitions, through administration.

use std::time::Duration;

use holdfast_schemas::{
    Message as _,
    message::{GroupDefineReply, GroupDefineRequest, GroupDefinition, GroupListReply, GroupListRequest},
    subject,
};

use crate::{
    arguments::group::{DefineOptions, ListOptions},
    client::{Client, SHORT},
    error::CliError,
    model::{policy, task},
    output::{self, Reader, table::table},
};

/// Making a log on three servers takes an election.
const PATIENCE: Duration = Duration::from_secs(30);

/// Defines a group; one that is defined alike already is left as it is, or changed where it may be.
///
/// # Errors
/// Administration refuses or does not answer.
pub async fn define(options: &DefineOptions, reader: Reader) -> Result<(), CliError> {
    let mut definition = GroupDefinition::new(options.name.clone(), options.csps.clone());
    definition.replication = options.replication.into();
    definition.isolation = options.isolation.into();
    definition.storage = options.storage.into();
    definition.log_replicas = options.log_replicas;
    definition.supervision = policy::policy(&options.policy).map_err(|error| CliError::Usage(error.to_string()))?;
    let tasks: Result<Vec<_>, _> = options.tasks.iter().map(|text| task::task(text)).collect();
    definition.tasks = tasks.map_err(|error| CliError::Usage(error.to_string()))?;
    let request = GroupDefineRequest { definition };
    request.check().map_err(|error| CliError::Usage(error.to_string()))?;
    let client = Client::connect(options.bus.nats.as_deref()).await?;
    let reply: GroupDefineReply = client.ask(subject::admin("group", "define"), &request, PATIENCE).await?;
    match reader {
        Reader::Program => output::message(&reply),
        Reader::Person if reply.created => output::line(&format!("group {} is defined", options.name)),
        Reader::Person if reply.changed => output::line(&format!("group {} is changed", options.name)),
        Reader::Person => output::line(&format!("group {} was defined like this already", options.name)),
    }
}

/// Lists all groups.
///
/// # Errors
/// Administration does not answer.
pub async fn list(options: &ListOptions, reader: Reader) -> Result<(), CliError> {
    let client = Client::connect(options.bus.nats.as_deref()).await?;
    let reply: GroupListReply = client.ask(subject::admin("group", "list"), &GroupListRequest {}, SHORT).await?;
    if reader == Reader::Program {
        return output::message(&reply);
    }
    let mut shown = table(&["group", "copies", "replication", "isolation", "storage", "log kept by"]);
    for group in &reply.groups {
        shown.add_row([
            group.name.clone(),
            group.csps.join(", "),
            format!("{:?}", group.replication).to_lowercase(),
            format!("{:?}", group.isolation).to_lowercase(),
            format!("{:?}", group.storage).to_lowercase(),
            group.log_replicas.to_string(),
        ]);
    }
    output::line(&shown.to_string())
}
