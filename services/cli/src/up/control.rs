//! Stopping and starting one copy of a running system.
//!
//! The wish is a file, `run/<name>.stop`: while it is there, `holdfast up` keeps the copy stopped. Whoever wishes then
//! waits until it is so: the pid file gone, or the ready file there. Files need no protocol, can be looked at, and say
//! the same however often they are read. A system that is started anew starts all of its copies.

use std::{fs, path::Path, time::Duration};

use holdfast_schemas::{
    message::{CspState, StatusReply, StatusRequest},
    subject,
};
use tokio::time::{Instant, sleep};

use super::{
    directory::{DataDirectory, SystemCard, write_whole},
    keeper::{Keeper, Wish},
    plan::Stage,
};
use crate::{
    arguments::up::CspOptions,
    client::{Client, SHORT},
    error::CliError,
    output,
};

const POLL: Duration = Duration::from_millis(25);

/// In `up`: passes the wishes on to the keepers of the copies.
pub fn carry_out(keepers: &[Keeper], directory: &DataDirectory) {
    for keeper in keepers.iter().filter(|keeper| keeper.stage == Stage::Csps) {
        keeper.want(if directory.stop_wish(&keeper.name).exists() { Wish::Stop } else { Wish::Run });
    }
}

/// `holdfast csp stop`.
///
/// # Errors
/// No system runs, it has no such copy, or the copy does not stop in time.
pub async fn stop(options: &CspOptions) -> Result<(), CliError> {
    let (directory, _) = system_with(options)?;
    let wish = directory.stop_wish(&options.name);
    write_whole(&wish, "").map_err(CliError::file("write", &wish))?;
    let pid = directory.pid(&options.name);
    until(options, "stop", &directory, || !pid.exists()).await?;
    output::line(&format!("{0} is stopped; `holdfast csp start {0}` starts it again", options.name))
}

/// `holdfast csp start`.
///
/// # Errors
/// No system runs, it has no such copy, or the copy does not serve in time, or is set aside.
pub async fn start(options: &CspOptions) -> Result<(), CliError> {
    let (directory, card) = system_with(options)?;
    let wish = directory.stop_wish(&options.name);
    remove_if_there(&wish)?;
    let ready = directory.ready(&options.name);
    let deadline = Instant::now() + Duration::from_millis(options.timeout_ms);
    until(options, "serve", &directory, || ready.exists()).await?;
    let client = Client::connect(Some(&card.nats)).await?;
    loop {
        let status: StatusReply =
            client.ask(subject::csp_status(&card.group, &options.name), &StatusRequest::default(), SHORT).await?;
        let reason = status.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        match status.heartbeat.state {
            CspState::Available => break,
            // One whose copy is damaged is there, and serves nobody.
            CspState::Quarantined => {
                return Err(CliError::Unavailable(format!("{} runs, and is set aside{reason}", options.name)));
            }
            state if Instant::now() >= deadline => {
                return Err(CliError::Unavailable(format!("{} runs, and is {state} still{reason}", options.name)));
            }
            _ => sleep(POLL).await,
        }
    }
    output::line(&format!("{} serves again", options.name))
}

fn system_with(options: &CspOptions) -> Result<(DataDirectory, SystemCard), CliError> {
    let directory = DataDirectory::new(&options.data)?;
    let card = directory.read_card()?;
    if card.csps.contains(&options.name) {
        return Ok((directory, card));
    }
    Err(CliError::Usage(format!("there is no copy {}: name one of {}", options.name, card.csps.join(", "))))
}

fn remove_if_there(path: &Path) -> Result<(), CliError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CliError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

async fn until(
    options: &CspOptions,
    what: &str,
    directory: &DataDirectory,
    reached: impl Fn() -> bool,
) -> Result<(), CliError> {
    let deadline = Instant::now() + Duration::from_millis(options.timeout_ms);
    while !reached() {
        if Instant::now() >= deadline {
            return Err(CliError::Unavailable(format!(
                "{} does not {what} within {} ms: read {}",
                options.name,
                options.timeout_ms,
                directory.log(&options.name).display()
            )));
        }
        sleep(POLL).await;
    }
    Ok(())
}
