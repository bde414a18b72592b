//! A copy that answers, beats, and applies nothing: it loses the task of being primary to one that does its work, with the
//! reason on record, and takes nothing back. Where all copies are like that, nothing moves.

use holdfast_tests::scenario::Application;
use holdfast_tests::system::{Options, System};
use tokio::time::Instant;

/// Clients that query, besides the one that updates.
const QUERIES: usize = 2;
/// Answers to each client after which the group is at work again.
const AT_WORK: usize = 50;

/// A group with a primary whose copies can be held, and an application at work on it.
async fn serve(scenario: impl AsyncFnOnce(&System, &Application) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let options = Options { holds_apply: true, ..Options::primary().redundant() };
    System::run(options, async |system| {
        let (application, clients) = Application::start(system.client(), QUERIES).await?;
        let outcome = scenario(&system, &application).await;
        application.end();
        for client in clients {
            client.await?;
        }
        outcome?;
        application.account().await?.settled()?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// Waits until supervision holds the CSP for suspect.
async fn until_suspect(system: &System, csp: &str) -> anyhow::Result<()> {
    system.until_judged(csp, "suspect", |state| state == "suspect").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_stands_still_loses_its_task_and_says_why() -> anyhow::Result<()> {
    serve(async |system, application| {
        let primary = system.primary().await?;

        // 1. Its copy stands still while it answers, and another one takes over.
        let held = Instant::now();
        system.hold_apply(&primary)?;
        let next = system.primary_other_than(&primary).await?;
        let assignment = system.assignment().await?;
        let cause = assignment["cause"].as_str().unwrap_or_default();
        anyhow::ensure!(cause.starts_with(&format!("{primary} is gray: ")), "{assignment}");
        anyhow::ensure!(assignment["gray_epoch"] == assignment["epoch"], "{assignment}");

        // 2. Updates and queries go on while it still stands.
        application.until_answered(Instant::now(), AT_WORK).await?;
        let seen = application.seen_since(held);
        eprintln!("{next} in place of {primary}: updates paused for {:.1?}", seen.update_pause);
        // The update that was with it at the time is answered by the next one: it is not sent by the client again.
        anyhow::ensure!(seen.failed_updates.is_empty(), "{seen:?}");

        // 3. It goes on, finds itself deposed, and takes nothing back.
        system.heal().await?;
        application.until_answered(Instant::now(), AT_WORK).await?;
        anyhow::ensure!(system.primary().await? == next, "{primary} took its task back from {next}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_stand_still_nothing_moves() -> anyhow::Result<()> {
    serve(async |system, application| {
        let (primary, before) = (system.primary().await?, system.assignment().await?);

        // 1. First the subscribers, so that nobody is better than the primary when it stands still too.
        for csp in system.csps().iter().filter(|csp| **csp != primary) {
            system.hold_apply(csp)?;
            until_suspect(system, csp).await?;
        }
        system.hold_apply(&primary)?;
        until_suspect(system, &primary).await?;
        anyhow::ensure!(system.assignment().await? == before, "moved from {before}");

        // 2. All go on, and updates that waited are settled. Who is primary then is left open: if another one is found well
        // a moment sooner, it takes over.
        system.heal().await?;
        application.until_answered(Instant::now(), AT_WORK).await
    })
    .await
}
