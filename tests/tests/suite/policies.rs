//! A group's policy of supervision is changed while the group is at work: its CSPs beat as it says, and supervision is as patient
//! as it says.

use std::time::Duration;

use futures::StreamExt;
use holdfast_schemas::subject;
use holdfast_tests::client::Request;
use holdfast_tests::system::{GROUP, Options, System};
use serde_json::json;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const CSP: &str = "csp-3";

/// Waits until two heartbeats of the CSP follow one another after a time in this range.
async fn until_beating(system: &System, least: Duration, most: Duration) -> anyhow::Result<()> {
    let mut heartbeats = system.client().nats().subscribe(subject::heartbeat(GROUP, CSP)).await?;
    let mut last: Option<Instant> = None;
    let beating = async {
        while heartbeats.next().await.is_some() {
            let gap = last.replace(Instant::now()).map(|last| last.elapsed());
            if gap.is_some_and(|gap| (least..=most).contains(&gap)) {
                return;
            }
        }
    };
    let bound = format!("no two heartbeats of {CSP} were {least:?} to {most:?} apart");
    timeout(PATIENCE, beating).await.map_err(|_| anyhow::anyhow!(bound))
}

/// Stops the CSP, and tells how long supervision went on trusting it.
async fn trusted_for(system: &System) -> anyhow::Result<Duration> {
    let stopped = Instant::now();
    system.pause(CSP)?;
    system.until_judged(CSP, "no longer available", |state| state != "available").await?;
    let trusted = stopped.elapsed();
    system.resume(CSP)?;
    system.until_available(&system.csps()).await?;
    Ok(trusted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_followed_when_they_change() -> anyhow::Result<()> {
    System::run(Options::primary().redundant(), async |system| {
        // 1. Slow heartbeats, of which five may be missing.
        system.define_group(&json!({ "supervision": { "heartbeat_interval_ms": 600 } })).await?;
        until_beating(&system, Duration::from_millis(500), Duration::from_millis(900)).await?;
        let patient = trusted_for(&system).await?;

        // 2. Quick ones.
        system.define_group(&json!({ "supervision": { "heartbeat_interval_ms": 100 } })).await?;
        until_beating(&system, Duration::from_millis(50), Duration::from_millis(200)).await?;
        let impatient = trusted_for(&system).await?;
        eprintln!("trusted for {patient:.1?}, then for {impatient:.1?}");
        anyhow::ensure!(patient > Duration::from_millis(1_500), "trusted for only {patient:?}");
        anyhow::ensure!(impatient < patient / 2, "trusted for {patient:?}, and then for {impatient:?}");

        // 3. What cannot be kept is refused, and harms nothing.
        let odd = json!({ "supervision": { "heartbeat_interval_ms": 0 } });
        anyhow::ensure!(system.try_define_group(&odd).await.is_err(), "an interval of 0 was accepted");
        system.client().commit(Request::new("RETURN 1"), PATIENCE).await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}
