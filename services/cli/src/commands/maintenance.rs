//! `holdfast csp drain` and `holdfast csp resume`: a copy goes into maintenance and comes back, while everybody is served.

use std::time::Duration;

use holdfast_schemas::{
    message::{ControlAction, ControlReply, ControlRequest, CspState, StatusReply, StatusRequest},
    subject,
};
use tokio::time::{Instant, sleep};

use crate::{
    arguments::up::MaintenanceOptions,
    client::{Client, SHORT},
    error::CliError,
    output::{self, Reader},
};

/// Between two looks at how far the copy is.
const LOOK: Duration = Duration::from_millis(25);

/// Takes a copy out, and returns when it is in maintenance. Asked twice, nothing is done twice.
///
/// # Errors
/// The copy does not answer, is in a state that cannot be drained, or is not done in time.
pub async fn drain(options: &MaintenanceOptions, reader: Reader) -> Result<(), CliError> {
    let status = carry_out(options, ControlAction::Drain, CspState::Maintenance).await?;
    tell(reader, &status, || {
        format!("{0} is in maintenance; `holdfast csp resume {0}` lets it serve again", options.name)
    })
}

/// Lets a copy serve again.
///
/// # Errors
/// The copy does not answer, or does not serve in time.
pub async fn resume(options: &MaintenanceOptions, reader: Reader) -> Result<(), CliError> {
    let status = carry_out(options, ControlAction::Resume, CspState::Available).await?;
    tell(reader, &status, || format!("{} serves again", options.name))
}

async fn carry_out(
    options: &MaintenanceOptions,
    action: ControlAction,
    wanted: CspState,
) -> Result<StatusReply, CliError> {
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let group = &options.target.group;
    let deadline = Instant::now() + Duration::from_millis(options.timeout_ms);
    let control = subject::csp_control(group, &options.name);
    let asked: Result<ControlReply, CliError> = client.ask(control, &ControlRequest { action }, SHORT).await;
    if asked.is_err() {
        refuse_unknown(&client, group, &options.name).await?;
    }
    asked?;
    loop {
        let status: StatusReply =
            client.ask(subject::csp_status(group, &options.name), &StatusRequest::default(), SHORT).await?;
        if status.heartbeat.state == wanted {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            let undo = match wanted {
                CspState::Maintenance => format!(". It stays so: `holdfast csp resume {}` undoes it", options.name),
                _ => String::new(),
            };
            return Err(CliError::Unavailable(format!(
                "{} is {} after {} ms and not {wanted}: it still holds a task that no other copy can take, or works on \
                 requests; see `holdfast status` and `holdfast task list`{undo}",
                options.name, status.heartbeat.state, options.timeout_ms
            )));
        }
        sleep(LOOK).await;
    }
}

/// Refuses a name that the group does not have, if anybody can say what it has.
async fn refuse_unknown(client: &Client, group: &str, name: &str) -> Result<(), CliError> {
    let Ok(status) = client.group_status(group).await else { return Ok(()) };
    let csps = status.definition.csps;
    if csps.iter().any(|csp| csp == name) {
        return Ok(());
    }
    Err(CliError::Usage(format!("there is no copy {name} in the group {group}: name one of {}", csps.join(", "))))
}

fn tell(reader: Reader, status: &StatusReply, sentence: impl FnOnce() -> String) -> Result<(), CliError> {
    match reader {
        Reader::Program => output::message(status),
        Reader::Person => output::line(&sentence()),
    }
}
