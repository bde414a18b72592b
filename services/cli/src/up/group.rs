//! What `up` asks of the running services: that JetStream answers, and that the group is defined.

use std::time::Duration;

use holdfast_schemas::{
    ErrorCode,
    message::{GroupDefineReply, GroupDefineRequest, GroupDefinition, GroupListReply, GroupListRequest},
    subject,
};
use tokio::time::{Instant, sleep};

use super::{plan, terminal::Terminal};
use crate::{arguments::up::UpOptions, client::Client, error::CliError};

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Three servers elect a leader before any stream can be made.
///
/// # Errors
/// JetStream does not answer in time.
pub async fn wait_for_jetstream(client: &Client) -> Result<(), CliError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.jetstream_answers().await {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() >= deadline => {
                return Err(CliError::Unavailable(format!(
                    "JetStream does not answer ({reason}): switch it on in the server's configuration (jetstream {{}}) and try again"
                )));
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

/// Defines the group, or finds it defined. Its pools and update windows were set since by `group define`, if at all: they stay.
///
/// # Errors
/// Administration refuses, most often because the group exists and is defined differently.
pub async fn define(client: &Client, options: &UpOptions, terminal: Terminal) -> Result<GroupDefinition, CliError> {
    let definition = as_defined(client, plan::definition(options)).await?;
    let request = GroupDefineRequest { definition };
    let reply: GroupDefineReply =
        client.ask(subject::admin("group", "define"), &request, PATIENCE).await.map_err(with_way_out)?;
    let definition = reply.definition;
    let how = if reply.created { "defined" } else { "is defined already" };
    terminal.say(
        "administration",
        &format!(
            "group {} {how}: {} copies, {:?} replication, {:?} isolation",
            definition.name,
            definition.csps.len(),
            definition.replication,
            definition.isolation
        )
        .to_lowercase(),
    );
    Ok(definition)
}

/// What `up` has no options for stays as it is in a group that is there.
async fn as_defined(client: &Client, wanted: GroupDefinition) -> Result<GroupDefinition, CliError> {
    let there: GroupListReply = client.ask(subject::admin("group", "list"), &GroupListRequest {}, PATIENCE).await?;
    let present = there.groups.into_iter().find(|group| group.name == wanted.name);
    Ok(match present {
        Some(GroupDefinition { tasks, pools, update_windows, supervision, .. }) => {
            GroupDefinition { tasks, pools, update_windows, supervision, ..wanted }
        }
        None => wanted,
    })
}

/// A group that exists and is defined differently is most often one of an earlier run with other options.
fn with_way_out(error: CliError) -> CliError {
    match error {
        CliError::Refused(reply) if reply.error.code == ErrorCode::AlreadyExists => CliError::Machine(format!(
            "{}: give the options that it was started with the first time, or choose another --group, with a --csp-prefix of its \
             own, or another --data",
            reply.error.message.split(';').next().unwrap_or_default()
        )),
        other => other,
    }
}
