//! How long clients wait when something is lost: the same fault many times over, each time in a whole group at work.

mod case;
mod row;
mod table;

use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep_until};

pub use case::Case;
pub use row::{FailoverRow, Limits};
pub use table::print_failover;

use crate::scenario::{Application, Seen};
use crate::system::System;

/// Answers to each client before the fault: the group is at work.
const BEFORE: usize = 50;
/// Answers to each client behind the fault: the pause is over.
const AFTER: usize = 50;
/// How long clients are looked at behind a fault at least: verdicts, and what follows from them, come later than the fault.
const WINDOW: Duration = Duration::from_millis(1_500);

/// Measures one case, and demands that nothing acknowledged is lost, nothing happened twice, and all copies are equal.
pub async fn failover_row(case: Case, runs: usize) -> anyhow::Result<FailoverRow> {
    let runs = case.runs(runs);
    let mut seen = Vec::new();
    let mut account = None;
    System::run(case.options(), async |system| {
        let (application, clients) = Application::start(system.client(), case.queries()).await?;
        for run in 0..runs {
            let once = strike(&system, &application, case, run).await;
            seen.push(once.with_context(|| format!("{}, run {} of {runs}", case.title(), run + 1))?);
        }
        application.end();
        for client in clients {
            client.await?;
        }
        account = Some(application.account().await?);
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await?;
    Ok(FailoverRow::new(case, &seen, account.unwrap_or_default()))
}

/// Strikes once, looks at what clients see, and makes the group whole again.
async fn strike(system: &System, application: &Application, case: Case, run: usize) -> anyhow::Result<Seen> {
    application.until_answered(Instant::now(), BEFORE).await?;
    let victim = case.victim(system, run).await?;
    let struck = Instant::now();
    case.strike(system, &victim)?;
    application.until_answered(struck, AFTER).await?;
    // Not a wait for something to happen: the time that is looked at.
    sleep_until(struck + WINDOW).await;
    let seen = application.seen_since(struck);
    let failures: Vec<&String> = seen.failed_updates.iter().chain(&seen.failed_queries).collect();
    eprintln!("{} {run}: {victim}, updates paused for {:.1?}; {failures:?}", case.name(), seen.update_pause);
    system.heal().await?;
    Ok(seen)
}
