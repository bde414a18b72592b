//! Whoever is on record as primary and cannot take updates is replaced by one that can: it still reads a long log after everything
//! was down, or it is gone and all others are doubted for one reason or another.

use std::time::Duration;

use holdfast_tests::client::Request;
use holdfast_tests::scenario::create_many;
use holdfast_tests::system::{Options, Status, System};
use serde_json::json;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
/// Enough that an empty copy has something to read.
const RECORDS: usize = 3_000;
/// Holds on a busy machine too: one second of patience with a primary that gets on, and a failover.
const BOUND: Duration = Duration::from_secs(10);

/// The CSPs other than this one.
fn others(system: &System, primary: &str) -> Vec<String> {
    system.csps().into_iter().filter(|csp| csp != primary).collect()
}

/// Every process but NATS, supervision and execution before the copies: killed in this order nobody is left who could judge the
/// copies that end, and the primary on record is still the one on record when all come back.
fn all_but_nats(system: &System) -> Vec<String> {
    system.names().into_iter().rev().filter(|name| !name.starts_with("nats-")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_still_reads_the_log_is_replaced_by_one_that_has_read_it() -> anyhow::Result<()> {
    System::run(Options { holds_apply: true, ..Options::primary().redundant() }, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE long; DEFINE INDEX of ON long FIELDS number"), PATIENCE).await?;
        create_many(&client, "long", RECORDS).await?;
        let primary = system.primary().await?;

        // 1. Everything but NATS ends. The primary comes back with an empty copy, and does not get on.
        let services = all_but_nats(&system);
        services.iter().for_each(|name| system.kill9(name));
        system.remove_copy(&primary)?;
        system.hold_apply(&primary)?;
        system.csps().iter().try_for_each(|name| system.start_process(name))?;
        let others = others(&system, &primary);
        let reads = |status: &Status| status.all_available(&others) && status.state(&primary) == Some("catching_up");
        system.until("all but the primary to be available", reads).await?;

        // 2. As soon as somebody is there to see that, updates are taken.
        services.iter().try_for_each(|name| system.start_process(name))?;
        let ready = Instant::now();
        client.commit(Request::new("CREATE long:after"), PATIENCE).await?;
        let waited = ready.elapsed();
        let (status, assignment) = (system.status().await, system.assignment().await?);
        eprintln!("{primary} was still reading, updates were taken after {waited:.1?}: {assignment}");
        anyhow::ensure!(waited < BOUND, "{waited:?}: {status}");
        let cause = assignment["cause"].as_str().unwrap_or_default();
        anyhow::ensure!(cause.starts_with(&format!("{primary} is still reading the log")), "{assignment}");

        // 3. It reads on, serves, and takes nothing back.
        system.heal().await?;
        anyhow::ensure!(system.primary().await? != primary, "{primary} took its task back");
        anyhow::ensure!(system.assignment().await? == assignment, "it was assigned again");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_soon_ready_stays_primary() -> anyhow::Result<()> {
    System::run(Options::primary().redundant(), async |system| {
        // Patience for as long as a start can take here.
        let executions: Vec<String> =
            system.names().into_iter().filter(|name| name.starts_with("execution-")).collect();
        for name in &executions {
            system.set_environment(name, "HOLDFAST_EXECUTION__TASK_CATCH_UP_MS_MAX", "60000");
        }
        let (primary, before) = (system.primary().await?, system.assignment().await?);
        let services = all_but_nats(&system);
        services.iter().for_each(|name| system.kill9(name));
        services.iter().try_for_each(|name| system.start_process(name))?;
        system.until_whole().await?;
        let after = system.assignment().await?;
        anyhow::ensure!(after == before, "{primary} was replaced: {before}, {after}");
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_dies_while_the_others_flap_is_replaced_by_the_best_of_them() -> anyhow::Result<()> {
    System::run(Options::primary().redundant(), async |system| {
        let client = system.client();
        let (primary, former) = (system.primary().await?, system.assignment().await?);

        // 1. Each of the others goes and comes twice, which is once too often here: it is held for suspect from then on.
        let policy = json!({ "flapping_verdicts": 2, "flapping_hold_ms_min": 60_000, "flapping_hold_ms_max": 60_000 });
        system.define_group(&json!({ "supervision": policy })).await?;
        for csp in others(&system, &primary) {
            let comings = [("unavailable", false), ("available", true), ("unavailable", false), ("suspect", true)];
            for (state, begin) in comings {
                if begin {
                    system.start_process(&csp)?
                } else {
                    system.kill9(&csp)
                }
                system.until_judged(&csp, state, |judged| judged == state).await?;
            }
        }
        system.until_available(&others(&system, &primary)).await?;
        anyhow::ensure!(system.assignment().await? == former, "nothing was to move before");

        // 2. The primary dies.
        let killed = Instant::now();
        system.kill9(&primary);
        client.commit(Request::new("CREATE taken:over"), PATIENCE).await?;
        let waited = killed.elapsed();
        eprintln!("updates were taken again after {waited:.1?}: {}", system.assignment().await?);
        anyhow::ensure!(waited < BOUND, "{waited:?}: {}", system.status().await);
        system.all_alive()
    })
    .await
}
