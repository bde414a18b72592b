//! The primary is lost, hangs, is moved or drained, and clients go on: they see a pause, and no error. Nothing that was
//! acknowledged is lost, nothing happens twice, and whoever comes back takes nothing back.

use std::sync::Arc;
use std::time::Duration;

use holdfast_tests::scenario::Application;
use holdfast_tests::system::{Options, System};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Clients that query, besides the one that updates.
const QUERIES: usize = 2;
/// Answers to each client after which the group is at work again.
const AT_WORK: usize = 100;
/// Holds on a busy machine too; the bench measures how long it really takes.
const FAILOVER_BOUND: Duration = Duration::from_secs(5);
const SWITCHOVER_BOUND: Duration = Duration::from_secs(1);

/// A group with a primary, and an application at work on it. From the beginning to the end, so many requests may fail.
async fn serve(
    failures_max: usize,
    scenario: impl AsyncFnOnce(&System, &Application) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    System::run(Options::primary().redundant(), async |system| {
        let began = Instant::now();
        let (application, clients) = Application::start(system.client(), QUERIES).await?;
        let outcome = scenario(&system, &application).await;
        end(&application, clients).await?;
        outcome?;
        let seen = application.seen_since(began);
        anyhow::ensure!(seen.failed_updates.len() + seen.failed_queries.len() <= failures_max, "{seen:?}");
        application.account().await?.settled()?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

async fn end(application: &Arc<Application>, clients: Vec<JoinHandle<()>>) -> anyhow::Result<()> {
    application.end();
    for client in clients {
        client.await?;
    }
    Ok(())
}

/// Demands that clients got on after a moment, and waited no longer than this.
async fn went_on(application: &Application, what: &str, from: Instant, bound: Duration) -> anyhow::Result<()> {
    application.until_answered(from, AT_WORK).await?;
    let seen = application.seen_since(from);
    eprintln!("{what}: updates paused for {:.1?}, queries for {:.1?}", seen.update_pause, seen.query_pause);
    anyhow::ensure!(seen.update_pause.max(seen.query_pause) < bound, "{what}: longer than {bound:?}: {seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_replaced_and_comes_back_as_a_subscriber() -> anyhow::Result<()> {
    serve(0, async |system, application| {
        let primary = system.primary().await?;

        // 1. It is killed, and another one takes over.
        let killed = Instant::now();
        system.kill9(&primary);
        went_on(application, "kill -9 of the primary", killed, FAILOVER_BOUND).await?;
        let next = system.primary_other_than(&primary).await?;

        // 2. It comes back under load, and nobody notices.
        let back = Instant::now();
        system.heal().await?;
        went_on(application, "its return", back, SWITCHOVER_BOUND).await?;
        anyhow::ensure!(system.primary().await? == next, "{primary} took its task back from {next}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_replaced_and_does_no_harm_when_it_goes_on() -> anyhow::Result<()> {
    serve(0, async |system, application| {
        let primary = system.primary().await?;

        // 1. It hangs, and another one takes over.
        let hangs = Instant::now();
        system.pause(&primary)?;
        went_on(application, "SIGSTOP of the primary", hangs, FAILOVER_BOUND).await?;
        let next = system.primary_other_than(&primary).await?;

        // 2. It goes on, and finds itself deposed.
        let goes_on = Instant::now();
        system.heal().await?;
        went_on(application, "its return", goes_on, SWITCHOVER_BOUND).await?;
        anyhow::ensure!(system.primary().await? == next, "{primary} took its task back from {next}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_moved_there_and_back() -> anyhow::Result<()> {
    serve(0, async |system, application| {
        let first = system.primary().await?;
        let other = system.csps().into_iter().find(|csp| *csp != first).unwrap_or_default();
        for target in [&other, &first] {
            let epoch = system.status().await.epoch();
            let moved = Instant::now();
            let reply = system.move_primary(target).await?;
            anyhow::ensure!(reply["assignment"]["csp"] == target.as_str(), "{reply}");
            went_on(application, "switchover", moved, SWITCHOVER_BOUND).await?;
            let what = format!("everybody to know that {target} is primary in a higher epoch");
            system
                .until(&what, |status| {
                    status.agreed() && status.primary() == Some(target.as_str()) && status.epoch() > epoch
                })
                .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_primary_hands_over_and_serves_nothing_more() -> anyhow::Result<()> {
    serve(0, async |system, application| {
        let primary = system.primary().await?;

        // 1. It is told to drain while clients are at work.
        let drained = Instant::now();
        system.drain(&primary).await?;
        let next = system.primary_other_than(&primary).await?;
        went_on(application, "drain of the primary", drained, SWITCHOVER_BOUND).await?;

        // 2. It can be taken away now without anybody noticing, and comes back as one that serves.
        let away = Instant::now();
        system.kill9(&primary);
        went_on(application, "loss of a drained CSP", away, SWITCHOVER_BOUND).await?;
        system.heal().await?;
        anyhow::ensure!(system.primary().await? == next, "{primary} took its task back from {next}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_do_not_notice_the_loss_of_all_supervisors() -> anyhow::Result<()> {
    serve(0, async |system, application| {
        let (primary, epoch) = (system.primary().await?, system.status().await.epoch());
        let lost = Instant::now();
        system.names().iter().filter(|name| name.starts_with("supervision-")).for_each(|name| system.kill9(name));
        went_on(application, "loss of all supervisors", lost, SWITCHOVER_BOUND).await?;
        let back = Instant::now();
        system.heal().await?;
        went_on(application, "their return", back, SWITCHOVER_BOUND).await?;
        let status = system.status().await;
        anyhow::ensure!(status.primary() == Some(&primary) && status.epoch() == epoch, "{primary}, {epoch}: {status}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leading_execution_dies_together_with_the_primary() -> anyhow::Result<()> {
    serve(1 + QUERIES, async |system, application| {
        let (primary, leader) = (system.primary().await?, system.leading_execution().await?);

        // 1. Both at once: the other instance has to notice, to lead, and to assign.
        let killed = Instant::now();
        system.kill9(&leader);
        system.kill9(&primary);
        application.until_answered(killed, AT_WORK).await?;
        let next = system.primary_other_than(&primary).await?;

        // 2. What was on its way through the dead instance, one request of each client at most, is answered when it is sent
        // again, and nothing else fails.
        let seen = application.seen_since(killed);
        eprintln!("{primary} and {leader}: updates paused for {:.1?}; {:?}", seen.update_pause, seen.failed_updates);
        system.heal().await?;
        anyhow::ensure!(system.primary().await? == next, "{primary} took its task back from {next}");
        Ok(())
    })
    .await
}
