//! `holdfast group`: definitions, through administration.

use std::time::Duration;

use holdfast_schemas::{
    Message as _,
    message::{
        GroupDefineReply, GroupDefineRequest, GroupDefinition, GroupListReply, GroupListRequest, OutsideWindow,
        UpdateWindows,
    },
    subject,
};

use crate::{
    arguments::{
        group::{DefineOptions, ListOptions},
        pool, update_window,
    },
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
    definition.pools = options.pools.clone();
    definition.update_windows = update_windows(options);
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

fn update_windows(options: &DefineOptions) -> Option<UpdateWindows> {
    let windows = options.update_windows.clone();
    (!windows.is_empty()).then(|| UpdateWindows { windows, outside: options.outside_window.into() })
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
    let mut shown =
        table(&["group", "copies", "replication", "isolation", "storage", "log kept by", "pools", "updates (UTC)"]);
    for group in &reply.groups {
        shown.add_row([
            group.name.clone(),
            group.csps.join(", "),
            format!("{:?}", group.replication).to_lowercase(),
            format!("{:?}", group.isolation).to_lowercase(),
            format!("{:?}", group.storage).to_lowercase(),
            group.log_replicas.to_string(),
            lines(group.pools.iter().map(pool::write)),
            windows(group.update_windows.as_ref()),
        ]);
    }
    output::line(&shown.to_string())
}

/// One below the other.
fn lines(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("\n")
}

fn windows(windows: Option<&UpdateWindows>) -> String {
    let Some(windows) = windows else {
        return "always".to_owned();
    };
    let outside = match windows.outside {
        OutsideWindow::Refuse => "else refused",
        OutsideWindow::Queue => "else queued",
    };
    lines(windows.windows.iter().map(update_window::write).chain([outside.to_owned()]))
}
