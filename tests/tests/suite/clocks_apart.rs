//! The clocks of the machines show different hours, by seconds or by years: nobody who uses the group notices. And however
//! wrong they are, a request that lay in the inbox of a stopped CSP for longer than its time is not begun any more.

use std::time::Duration;

use anyhow::Context;
use holdfast_tests::client::Request;
use holdfast_tests::scenario::Application;
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;
use serde_json::json;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
/// Clients that query, besides the one that updates.
const QUERIES: usize = 2;
/// Answers to each client after which the group is at work under the new hour.
const AT_WORK: usize = 60;
const HOUR_MS: i64 = 3_600_000;

/// Whose clock is set by how much.
fn steps(primary: &str, subscriber: &str) -> Vec<(String, i64)> {
    let steps = [
        (primary, 5_000),
        (primary, 40_000),
        (primary, HOUR_MS),
        (primary, -HOUR_MS),
        (subscriber, HOUR_MS),
        (subscriber, -HOUR_MS),
        (subscriber, 30 * 24 * HOUR_MS),
        ("execution-1", -12_000),
        ("execution-1", -HOUR_MS),
        ("execution-1", HOUR_MS),
        ("supervision-1", HOUR_MS),
        ("supervision-1", -HOUR_MS),
        ("administration-1", HOUR_MS),
        ("administration-1", -HOUR_MS),
    ];
    steps.map(|(name, by_ms)| (name.to_owned(), by_ms)).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_whatever_hour_each_process_has() -> anyhow::Result<()> {
    System::run(Options { own_clocks: true, ..Options::primary() }, async |system| {
        let primary = system.primary().await?;
        let subscriber = system.csps().into_iter().find(|csp| *csp != primary).unwrap_or_default();
        let (application, clients) = Application::start(system.client(), QUERIES).await?;
        let began = Instant::now();

        // 1. Each clock is set while everything works, and is left as it is while the next one is set.
        for (name, by_ms) in steps(&primary, &subscriber) {
            system.step_clock(&name, by_ms)?;
            application.until_answered(Instant::now(), AT_WORK).await?;
            let seen = application.seen_since(began);
            anyhow::ensure!(
                seen.failed_updates.is_empty() && seen.failed_queries.is_empty(),
                "{name} by {by_ms} ms: {seen:?}"
            );
        }

        // 2. Nobody was held for gone, and everything that was acknowledged is there.
        anyhow::ensure!(system.primary().await? == primary, "{primary} is primary no more");
        application.end();
        for client in clients {
            client.await?;
        }
        application.account().await?.settled()?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// Who looks at the status sees whose clock it is, and by how much it is wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_is_shown_and_warned_of() -> anyhow::Result<()> {
    System::run(Options { own_clocks: true, ..Options::primary() }, async |system| {
        let client = system.client();
        let shown = async || -> anyhow::Result<Vec<i64>> {
            let status = client.group_status().await?;
            let csps = status["csps"].as_array().cloned().unwrap_or_default();
            csps.iter().map(|csp| csp["clock_ahead_ms"].as_i64().context("no clock is shown")).collect()
        };
        let until_shown = async |wanted: [i64; 3]| {
            until(&format!("clocks to be shown as {wanted:?}"), PATIENCE, async || {
                let shown = shown().await.map_err(|error| format!("{error:#}"))?;
                let fits = shown.iter().zip(wanted).all(|(shown, wanted)| (shown - wanted).abs() < 400);
                if fits && shown.len() == wanted.len() { Ok(()) } else { Err(format!("{shown:?}")) }
            })
            .await
        };
        until_shown([0, 0, 0]).await?;
        // The median of two others lies between them, so the one that is wrong shows all of it, and the others half.
        system.step_clock("csp-2", 4_000)?;
        until_shown([-2_000, 4_000, -2_000]).await?;
        system.until_logged("csp-2", "the clock of this machine differs from those of the others").await?;
        system.step_clock("csp-2", 0)?;
        until_shown([0, 0, 0]).await
    })
    .await
}

/// Starts with clocks that are apart already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_start_with_other_hours_work_together() -> anyhow::Result<()> {
    System::run(Options { own_clocks: true, ..Options::primary() }, async |system| {
        let hours = [("csp-1", HOUR_MS), ("csp-2", 2 * HOUR_MS), ("execution-1", -40_000), ("supervision-1", 12_000)];
        for (name, by_ms) in hours {
            system.step_clock(name, by_ms)?;
            system.kill9(name);
            system.start_ready(name).await?;
        }
        system.until_whole().await?;
        let began = Instant::now();
        let (application, clients) = Application::start(system.client(), QUERIES).await?;
        application.until_answered(began, AT_WORK).await?;
        application.end();
        for client in clients {
            client.await?;
        }
        let seen = application.seen_since(began);
        anyhow::ensure!(seen.failed_updates.is_empty() && seen.failed_queries.is_empty(), "{seen:?}");
        application.account().await?.settled()?;
        system.all_alive()
    })
    .await
}

/// The same with the instance of execution that takes the request, and with a CSP that is asked without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lay_in_any_inbox_for_longer_than_its_time_is_not_begun() -> anyhow::Result<()> {
    const TIME: Duration = Duration::from_millis(800);
    System::run(Options { csps: 1, ..Options::peer() }, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE late; CREATE late:0"), PATIENCE).await?;
        for (number, stopped) in [(1, "execution-1"), (2, "csp-1")] {
            system.pause_whole(stopped).await?;
            let asked = Instant::now();
            let request = Request::new(format!("CREATE late:{number}")).deadline(TIME);
            let lain = if stopped == "csp-1" {
                client.update_at(stopped, &request).await
            } else {
                client.update(&request).await
            };
            anyhow::ensure!(lain.clone().done().is_err(), "{stopped} was stopped and answered: {lain}");
            tokio::time::sleep_until(asked + 3 * TIME).await;
            system.resume(stopped)?;
            // What comes later is taken again.
            client.commit(Request::new(format!("CREATE late:after_{stopped}").replace('-', "_")), PATIENCE).await?;
            let sql = format!("SELECT VALUE record::id(id) FROM late:{number}");
            let left = client.read(&Request::new(sql).strong(), PATIENCE).await.done()?;
            anyhow::ensure!(left.results == [json!([])], "it was begun after its time: {left:?}");
        }
        system.all_alive()
    })
    .await
}

/// The CSP is stopped with a request in its inbox until the time of the request is over, while its clock on the wall says that
/// there is time for another hour. It must not be begun: its sender was told long ago that nobody knows what became of it, and
/// whoever waits for longer than ids are kept takes it for over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lay_in_a_stopped_csp_for_longer_than_its_time_is_not_begun() -> anyhow::Result<()> {
    const TIME: Duration = Duration::from_millis(800);
    let options = Options { own_clocks: true, csps: 1, ..Options::peer() };
    System::run(options, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE late; CREATE late:0"), PATIENCE).await?;
        system.step_clock("csp-1", -HOUR_MS)?;

        // 1. It is stopped, and then asked.
        system.pause_whole("csp-1").await?;
        let asked = Instant::now();
        let lain = client.update(&Request::new("CREATE late:1").deadline(TIME)).await;
        anyhow::ensure!(lain.clone().done().is_err(), "it was stopped and answered: {lain}");

        // 2. It goes on when the time is over, and does nothing of what it finds.
        tokio::time::sleep_until(asked + 3 * TIME).await;
        system.resume("csp-1")?;
        for number in 2..20 {
            client.commit(Request::new(format!("CREATE late:{number}")), PATIENCE).await?;
        }
        let left = client.read(&Request::new("SELECT VALUE record::id(id) FROM late:1").strong(), PATIENCE).await;
        let left = left.done()?;
        anyhow::ensure!(left.results == [serde_json::json!([])], "it was begun after its time: {left:?}");
        system.all_alive()
    })
    .await
}
